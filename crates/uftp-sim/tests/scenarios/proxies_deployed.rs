//! Congestion control through proxies of 5.0.1's manners in encrypted sessions: they pass on what clients
//! report sealed with keys that the sender has not got (behaviour-proxies §14.3).

use uftp_proto::wire::Function;
use uftp_session::congestion::Limits;
use uftp_session::sender::{FileOutcome, Rate, SenderEvent};
use uftp_sim::proxies::{Reach, proxy_addr, uid};
use uftp_sim::{Figure, Verdict, seeds, source};

use super::proxies_encrypted::five;
use super::{lossy, secs};

/// Length of a sealed CC_ACK. Nothing else that receivers here say is as long.
const CC_ACK: usize = 68;

/// What the sender cannot read is to it as if it never came.
fn deaf(reach: Reach, seed: u64) -> uftp_sim::proxies::Networks {
    let items = [source::file("f", 2_000_000)];
    let figure = Figure::new(seed, reach, 0, &[2], items).with(|f| {
        f.config.rate = Rate::Tfmcc(Limits {
            min: Some(200_000),
            ..Limits::default()
        });
        f.down = lossy(0.02);
    });
    let mut networks = figure.with(five(false)).stage();
    let receivers = networks.receivers.clone();
    networks.world.set_filter(move |passing| {
        let report = passing.is(Function::Encrypted) && passing.datagram.len() == CC_ACK;
        match report && receivers.contains(&passing.from) {
            true => Verdict::Drop,
            false => Verdict::Pass,
        }
    });
    networks
}

fn unreadable(event: &&SenderEvent) -> bool {
    let proxy = uid(proxy_addr(0));
    matches!(event, SenderEvent::ReportsUnreadable { proxy: at } if *at == proxy)
}

#[test]
fn without_reports_files_go_at_the_least_rate() {
    for reach in [Reach::Tunnel, Reach::Response] {
        let networks = deaf(reach, seeds::one(1)).play(secs(600));
        networks.assert_all_whole();
        let events = || networks.sender().events();
        assert_eq!(events().filter(unreadable).count(), 1, "{reach:?}");
        let heard = |e: &&SenderEvent| {
            matches!(
                e,
                SenderEvent::RateReported { .. } | SenderEvent::ClientLost { .. }
            )
        };
        assert_eq!(events().find(heard), None, "{reach:?}");
        let took = networks.world.elapsed();
        assert!(took > secs(9), "faster than 200 KB/s: {took:?}");
    }
}

#[test]
fn who_dies_without_reports_is_found_out_at_the_end_of_a_pass() {
    for reach in [Reach::Tunnel, Reach::Response] {
        let mut networks = deaf(reach, seeds::one(2));
        let dies = networks.receivers[1];
        networks.world.after(secs(8), move |world| world.kill(dies));
        let networks = networks.play(secs(600));
        assert!(networks.is_whole(0), "{reach:?}");
        assert_eq!(networks.verdict(1, 1), Some(FileOutcome::Lost), "{reach:?}");
    }
}
