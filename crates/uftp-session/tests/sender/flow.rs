//! Sessions that go well, against the reference traces.

use uftp_proto::FileId;
use uftp_session::sender::Outcome;

use crate::lab::*;

#[test]
fn open_group_announces_all_cycles_like_the_reference() {
    let data = noise(20_000);
    let source = Memory::default().file("f", data.clone());
    let mut lab = Lab::new(config(None), source, vec![Peer::new(7)]);
    assert_eq!(lab.run(), Outcome::Success);
    let announces = lab.of("ANNOUNCE");
    assert_eq!(announces.len(), 20);
    let near = |got: f64, want: f64| assert!((got - want).abs() < 12.0, "{got} ms, not {want}");
    near(announces[1].ms(), 1502.0);
    near(announces[19].ms(), 2044.0);
    near(lab.of("REG_CONF 7")[0].ms(), 1502.0);
    near(lab.of("FILEINFO(1) 7")[0].ms(), 2075.0);
    assert_eq!(lab.of("FILESEG").len(), 16);
    assert_eq!(announces[0].header().group_size.0, 0);
    let tail = lab.words();
    assert_eq!(
        tail[tail.len() - 5..],
        [
            "FILEINFO(1) 7",
            "FILESEG",
            "DONE(1) 7",
            "DONE(0) 7",
            "DONE_CONF 7"
        ]
    );
    assert_eq!(lab.peers[0].complete[&FileId(1)], data);
}
