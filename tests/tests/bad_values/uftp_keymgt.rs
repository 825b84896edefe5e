//! What `uftp_keymgt` refuses.

use crate::{
    Bad,
    Theirs::{Ends, Says},
};

/// Lines of `uftp_keymgt`. The reference hides failures with keys behind a 0.
#[rustfmt::skip] // a row a line
pub(crate) const LINES: &[Bad] = &[
    ("-g rsa:511 new", 1, &["-g", "512 to 8192"], Says("Invalid key size")),
    ("-g rsa:many new", 1, &["-g", "512 to 8192"], Says("Invalid key size")),
    ("-g ec:curve new", 1, &["-g", "prime256v1"], Says("Invalid curve")),
    ("-g dsa:1024 new", 1, &["-g", "rsa:BITS"], Says("Invalid key specification")),
    ("-g ec:prime256v1 /no/dir/new", 1, &["/no/dir/new"], Ends(0)),
    ("-g ec:prime256v1", 1, &[], Says("No keyfile specified")),
    ("-d", 1, &[], Says("No keyfile specified")),
    ("-d -g ec:prime256v1 new", 1, &[], Says("Can't specify both -g and -d")),
    ("/no/key", 1, &["/no/key"], Ends(0)),
    ("remarks", 1, &["remarks: no such key", "uftp_keymgt"], Ends(0)),
    ("-8", 1, &["unknown option -8"], Ends(0)),
];
