//! Options of `uftpd` about a proxy that gathers its answers (cli §3.1, §7).

use std::path::Path;

use clap::Args;
use uftp_session::receiver::ResponseProxy;

use super::addresses;
use crate::exit::Failure;

/// Who gathers our answers.
#[derive(Args, Clone, PartialEq, Debug)]
#[command(next_help_heading = "Network")]
pub(crate) struct ResponseProxyArgs {
    /// A file: the proxies that -S names, one a line: uid|address[|fingerprint]. A host: as -r
    #[arg(short = 'R', long, value_name = "FILE|HOST[/FINGERPRINT]",
          action = clap::ArgAction::Append)]
    pub response_proxy: Vec<String>,

    /// In protocols 3 and 4, send all answers to the response proxy on this host, which listens
    /// on our port; its key must have the fingerprint if one is given
    #[arg(short = 'r', long, value_name = "HOST[/FINGERPRINT]")]
    pub v4_response_proxy: Option<String>,
}

impl ResponseProxyArgs {
    /// The lists of proxies of senders of protocol 5: what `-R` names is a file.
    pub(crate) fn lists(&self) -> Vec<&Path> {
        let named = self.response_proxy.iter();
        named.filter(|text| is_file(text)).map(Path::new).collect()
    }

    /// What is meant; the proxy has our `port`. Asks the resolver.
    ///
    /// # Errors
    /// A host that cannot be found, or no fingerprint behind a slash.
    pub(crate) async fn validate(&self, port: u16) -> Result<Option<ResponseProxy>, Failure> {
        let mut hosts = self.response_proxy.iter().filter(|text| !is_file(text));
        let four = self.v4_response_proxy.as_ref().map(|text| ("-r", text));
        // The last one wins, as ever.
        let given = four.or_else(|| hosts.next_back().map(|text| ("-R", text)));
        let Some((option, text)) = given else {
            return Ok(None);
        };
        let read = read(text, port).await;
        read.map(Some).map_err(|why| {
            Failure::command_line(format!("Invalid proxy address {text}: {why}")).about(option)
        })
    }
}

fn is_file(text: &str) -> bool {
    Path::new(text).is_file()
}

async fn read(text: &str, port: u16) -> Result<ResponseProxy, String> {
    let (host, print) = match text.split_once('/') {
        None => (text, None),
        Some((host, print)) => (host, Some(print)),
    };
    if host.is_empty() {
        return Err("Invalid host name".to_owned());
    }
    let fingerprint = print.map(|print| print.parse()).transpose();
    Ok(ResponseProxy {
        addr: addresses::host(host, port).await?,
        fingerprint: fingerprint
            .map_err(|why: uftp_proto::crypto::BadFingerprint| why.to_string())?,
    })
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    /// What `-R` names is a list if it is a file, else a host; `-r` is always a host.
    #[tokio::test]
    async fn a_file_or_a_host() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let args = |five: &str, four: Option<&str>| ResponseProxyArgs {
            response_proxy: five.split(' ').map(str::to_owned).collect(),
            v4_response_proxy: four.map(str::to_owned),
        };
        let host = |last: u8| Some(SocketAddr::from(([10, 0, 0, last], 1044)));
        for (args, lists, proxy) in [
            (args(&path, None), 1, None),
            (args(&path, Some("10.0.0.2")), 1, host(2)),
            (args(&format!("{path} 10.0.0.1 {path}"), None), 2, host(1)),
            (args("10.0.0.3 10.0.0.1", None), 0, host(1)),
            (args("10.0.0.1", Some("10.0.0.2")), 0, host(2)),
        ] {
            let meant = args.validate(1044).await.unwrap();
            assert_eq!(args.lists().len(), lists, "{args:?}");
            assert_eq!(meant.map(|proxy| proxy.addr), proxy, "{args:?}");
        }
        // What an unset variable leaves: answers must not go past a proxy that was meant.
        for (args, says) in [
            (
                args("/no/such/list", None),
                "Invalid proxy address /no/such/list",
            ),
            (
                args("10.0.0.1 ", None),
                "Invalid proxy address : Invalid host name",
            ),
            (
                args("10.0.0.1", Some("")),
                "Invalid proxy address : Invalid host name",
            ),
        ] {
            let told = args.validate(1044).await.unwrap_err().message;
            assert!(told.starts_with(says), "{told}");
        }
    }

    const PRINT: &str = "66:1E:C9:1D:FC:99:DB:60:B0:1A:F0:8F:CA:F4:28:27:A6:BE:94:BC";

    #[tokio::test]
    async fn hosts_with_and_without_fingerprint() {
        let addr = SocketAddr::from(([10, 0, 0, 1], 99));
        let plain = read("10.0.0.1", 99).await.unwrap();
        assert_eq!((plain.addr, plain.fingerprint), (addr, None));
        let near = read("fe80::1%lo", 99).await.unwrap();
        assert_eq!(near.addr, "[fe80::1%1]:99".parse().unwrap(), "on that link");
        let proved = read(&format!("10.0.0.1/{PRINT}"), 99).await.unwrap();
        assert_eq!(proved.fingerprint, Some(PRINT.parse().unwrap()));
        for (text, says) in [
            ("/", "Invalid host name"),
            ("10.0.0.1/", "\"\" is not a key fingerprint"),
            ("10.0.0.1/zz", "\"zz\" is not a key fingerprint"),
        ] {
            let told = read(text, 99).await.unwrap_err();
            assert!(told.starts_with(says), "{text}: {told}");
        }
    }
}
