//! uftp-net
