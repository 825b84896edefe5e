//! Names of the hosts that senders run on, found without keeping the session waiting.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::time::Duration;

use nix::net::if_::if_indextoname;
use tokio::sync::{mpsc as requests, oneshot};

use crate::driver::Control;

/// Longest wait for the resolver; then the address stands for the name.
const PATIENCE: Duration = Duration::from_secs(2);
/// Most questions that wait, and most that are being asked.
const QUESTIONS: usize = 64;
const ASKED_AT_ONCE: usize = 8;
/// Most names remembered.
const REMEMBERED: usize = 1024;

/// The host part of an address as the deployed programs show it: with the name of the interface if it
/// is known on one link only; IPv4 addresses in sockets of IPv6 plain.
pub(crate) fn shown(address: SocketAddr) -> String {
    let ip = address.ip().to_canonical();
    match address {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => match if_indextoname(v6.scope_id()) {
            Ok(name) => format!("{ip}%{}", name.to_string_lossy()),
            Err(_) => format!("{ip}%{}", v6.scope_id()),
        },
        _ => ip.to_string(),
    }
}

/// An address with its port, its host as [`shown`].
pub(crate) fn endpoint(address: SocketAddr) -> String {
    let (host, port) = (shown(address), address.port());
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// The session's end: asks, and is told later.
pub(crate) struct Names {
    questions: Option<requests::Sender<IpAddr>>,
    answers: mpsc::Receiver<(IpAddr, String)>,
    known: HashMap<IpAddr, String>,
}

/// The resolver's end.
pub(crate) struct Resolver {
    questions: requests::Receiver<IpAddr>,
    answers: mpsc::Sender<(IpAddr, String)>,
    look_up: fn(IpAddr) -> Option<String>,
}

impl Names {
    /// Both ends; the resolver has to be run.
    pub(crate) fn new() -> (Names, Resolver) {
        let (ask, questions) = requests::channel(QUESTIONS);
        let (answer, answers) = mpsc::channel();
        let names = Names {
            questions: Some(ask),
            answers,
            known: HashMap::new(),
        };
        let resolver = Resolver {
            questions,
            answers: answer,
            look_up,
        };
        (names, resolver)
    }

    /// Addresses are not looked up; they stand for names.
    pub(crate) fn none() -> Names {
        let (names, _) = Names::new();
        Names {
            questions: None,
            ..names
        }
    }

    /// The name of an address if it need not be waited for; else the answer is on its way.
    pub(crate) fn of(&mut self, ip: IpAddr) -> Option<String> {
        if let Some(name) = self.known.get(&ip) {
            return Some(name.clone());
        }
        let asked = self.questions.as_ref().map(|q| q.try_send(ip));
        match asked {
            Some(Ok(())) => None,
            // Too many questions, or nobody to answer them.
            Some(Err(_)) | None => Some(ip.to_string()),
        }
    }

    /// An answer that has come.
    pub(crate) fn answer(&mut self) -> Option<(IpAddr, String)> {
        let (ip, name) = self.answers.try_recv().ok()?;
        if self.known.len() >= REMEMBERED {
            self.known.clear();
        }
        self.known.insert(ip, name.clone());
        Some((ip, name))
    }
}

impl Resolver {
    /// Answers questions until nobody asks any more; wakes the driver for each answer.
    pub(crate) async fn run(mut self, driver: Control) {
        let mut asked = tokio::task::JoinSet::new();
        loop {
            tokio::select! {
                question = self.questions.recv(), if asked.len() < ASKED_AT_ONCE => match question {
                    Some(ip) => {
                        asked.spawn(name_of(ip, self.look_up, PATIENCE));
                    }
                    None => return,
                },
                Some(Ok(answer)) = asked.join_next() => {
                    if self.answers.send(answer).is_err() {
                        return;
                    }
                    driver.wake();
                }
            }
        }
    }
}

/// The name of an address, the address itself if there is none in time.
async fn name_of(
    ip: IpAddr,
    look_up: fn(IpAddr) -> Option<String>,
    patience: Duration,
) -> (IpAddr, String) {
    let (tell, told) = oneshot::channel();
    // A thread of its own: the resolver of the system may take its time, and nothing waits for it
    // when the program ends.
    let thread = std::thread::Builder::new().name("names".into());
    let started = thread.spawn(move || {
        // Nobody listens if it took too long.
        let _ = tell.send(look_up(ip));
    });
    let name = match started {
        Ok(_) => tokio::time::timeout(patience, told).await,
        Err(_) => return (ip, ip.to_string()),
    };
    let name = name.ok().and_then(Result::ok).flatten();
    (ip, name.unwrap_or_else(|| ip.to_string()))
}

fn look_up(ip: IpAddr) -> Option<String> {
    let name = dns_lookup::lookup_addr(&ip).ok()?;
    // Whoever owns the address chooses its name, and it becomes a field of status lines.
    let fit = |b: u8| b.is_ascii_alphanumeric() || b"-._:%".contains(&b);
    (!name.is_empty() && name.len() <= 255 && name.bytes().all(fit)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_is_asked_for_once_and_remembered() {
        let (mut names, mut resolver) = Names::new();
        resolver.look_up = |ip| ip.is_ipv4().then(|| "host.example".to_owned());
        let control = Control::new().unwrap();
        let running = tokio::spawn(resolver.run(control));
        let ask = |names: &mut Names, ip: &str| names.of(ip.parse().unwrap());
        assert_eq!(ask(&mut names, "10.0.0.1"), None);
        assert_eq!(ask(&mut names, "fd00::1"), None);
        let mut told = Vec::new();
        while told.len() < 2 {
            match names.answer() {
                Some(answer) => told.push(answer.1),
                None => tokio::task::yield_now().await,
            }
        }
        told.sort();
        assert_eq!(told, ["fd00::1", "host.example"], "no name: the address");
        assert_eq!(ask(&mut names, "10.0.0.1").unwrap(), "host.example");
        drop(names);
        running.await.unwrap();
    }

    #[tokio::test]
    async fn a_resolver_that_hangs_is_not_waited_for() {
        let never = |_| loop {
            std::thread::park();
        };
        let ip: IpAddr = "10.0.0.1".parse().unwrap();
        let soon = Duration::from_millis(1);
        assert_eq!(name_of(ip, never, soon).await, (ip, "10.0.0.1".to_owned()));
    }

    #[test]
    fn a_link_is_called_by_the_name_of_its_interface() {
        for (address, shows) in [
            ("10.0.0.1:9", "10.0.0.1:9"),
            ("[::ffff:10.0.0.1]:9", "10.0.0.1:9"),
            ("[fd00::1]:9", "[fd00::1]:9"),
            ("[fe80::1%1]:9", "[fe80::1%lo]:9"),
        ] {
            assert_eq!(endpoint(address.parse().unwrap()), shows);
        }
    }

    #[test]
    fn without_a_resolver_addresses_stand_for_names() {
        let ip: IpAddr = "10.0.0.1".parse().unwrap();
        assert_eq!(Names::none().of(ip).unwrap(), "10.0.0.1");
        let (mut names, resolver) = Names::new();
        drop(resolver);
        assert_eq!(names.of(ip).unwrap(), "10.0.0.1");
    }
}
