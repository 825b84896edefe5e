//! A transfer is the same whatever the kernel does for many datagrams at once.

use std::time::Duration;

use uftp_tests::{Result, Suite, World, write_file};

const PATIENCE: Duration = Duration::from_secs(60);

/// What `--offload` is told, and what the socket then says of itself.
const WAYS: [(&str, &str); 3] = [
    ("auto", "whole runs of datagrams as one"),
    ("batch", "many datagrams a call"),
    ("off", "one datagram a call"),
];

#[test]
fn whole_batched_and_single() -> Result<()> {
    for (how, manner) in WAYS {
        let ours = ["--offload", how];
        let option = |suite| match suite {
            Suite::Ours => &ours[..],
            Suite::Reference => &[],
        };
        let expected = format!("sends {manner}, receives {manner}, ");
        for (sender, receiver) in [
            (Suite::Ours, Suite::Ours),
            (Suite::Ours, Suite::Reference),
            (Suite::Reference, Suite::Ours),
        ] {
            let case = format!("--offload {how}, {sender:?} to {receiver:?}");
            let world = World::new("offload", 2)?;
            let content = world.make_dir("content")?;
            write_file(&content.join("file"), 3_000_001)?;
            let receiving = world.receiver(receiver, 1).args(option(receiver)).start()?;
            let sent = world
                .sender(sender, 0)
                .invite(&[1])
                .args(option(sender))
                .files_of(&content)?
                .run(PATIENCE)?;
            sent.ended_with(0)?;
            sent.resulted("copy", &[1], 1)?;
            receiving.holds(&content)?;
            receiving.stop()?;
            for (suite, log) in [(sender, "sender0"), (receiver, "receiver1")] {
                let told = std::fs::read_to_string(world.log_path(log))?;
                assert!(
                    suite == Suite::Reference || told.contains(&expected),
                    "{case}: {log} does not say {expected:?}:\n{told}"
                );
            }
        }
    }
    Ok(())
}
