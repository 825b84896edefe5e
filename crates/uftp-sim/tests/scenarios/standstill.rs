//! The machine that all run on stands still, once in the middle of a session and for longer than anybody is
//! silent: it costs that time, and nothing else.

use std::time::Duration;

use rand::RngExt;
use uftp_session::congestion::Limits;
use uftp_session::sender::Rate;
use uftp_sim::proxies::{Figure, Reach};
use uftp_sim::{Scenario, World, seeds, source};

use super::{delayed, lossy, ms, secs, two_files};

/// Sessions take seconds; but the alarm of one that is over rings, for nothing, after an hour at most.
const LIMIT: Duration = Duration::from_secs(2 * 3600);

/// Has the world stand still some time before `latest`.
fn stand_still(world: &mut World, latest: Duration) {
    let mut rng = world.rng(90);
    let (at, time) = (
        rng.random_range(ms(0)..latest),
        rng.random_range(secs(1)..secs(30)),
    );
    world.after(at, move |world| world.stand_still(time));
}

#[test]
fn receivers_wait_for_who_stood_still_with_them() {
    seeds::each(240, |seed| {
        let items = (0..4).map(|i| source::file(&format!("f{i}"), 80_000 << i));
        let scenario = Scenario::new(seed, 5, items);
        let scenario = match seed % 4 {
            0 => scenario.open(),
            1 => scenario.configure(|c| c.rate = Rate::Tfmcc(Limits::default())),
            2 => scenario.paths(lossy(0.01), lossy(0.03)),
            _ => scenario.paths(delayed(ms(30)), delayed(ms(70))),
        };
        let mut stage = scenario.stage();
        stand_still(&mut stage.world, secs(2));
        stage.play(LIMIT).assert_all_whole();
    });
}

#[test]
fn proxies_wait_for_who_stood_still_with_them() {
    for reach in [Reach::Tunnel, Reach::Chain, Reach::Response] {
        seeds::each(60, |seed| {
            let mut networks = Figure::new(seed, reach, 1, &[2, 3], two_files(600_000)).stage();
            stand_still(&mut networks.world, secs(1));
            networks.play(LIMIT).assert_all_whole();
        });
    }
}
