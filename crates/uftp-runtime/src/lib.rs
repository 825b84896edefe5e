//! uftp-runtime
