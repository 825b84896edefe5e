//! uftp-sim
