//! The system calls that have no safe counterpart without an allocation per call, and nothing
//! else: `setsockopt` with any value, `sendmsg`, `sendmmsg`, `recvmsg`, `recvmmsg`.

#![allow(unsafe_code)]

use std::array;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use nix::libc;
use socket2::SockAddr;

use crate::feature::cmsg::{ControlBuf, Controls};

/// Messages given to or taken from the kernel in one call.
pub(crate) const MESSAGES: usize = 32;

/// Bytes of the longest address taken in: `sockaddr_in6`.
const NAME_LEN: usize = mem::size_of::<libc::sockaddr_in6>();

/// Room for the address of a sender.
#[repr(C, align(8))]
#[derive(Clone, Copy)]
struct NameBuf([u8; NAME_LEN]);

/// One message for the kernel: a datagram, or a run of them with the control data that says so.
pub(crate) struct Outgoing<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) control: &'a [u8],
}

/// One message from the kernel.
pub(crate) struct Incoming<'a> {
    /// Sender's address, as the kernel writes it (`sockaddr_in`, `sockaddr_in6`).
    pub(crate) name: &'a [u8],
    pub(crate) controls: Controls<'a>,
    /// Bytes written into the message's place.
    pub(crate) len: usize,
    /// The message did not fit its place.
    pub(crate) truncated: bool,
}

/// Sets a socket option whose value is laid out like `T`.
pub(crate) fn set_option<T>(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: &T,
) -> io::Result<()> {
    // SAFETY: `value` is a live reference to `size_of::<T>()` bytes, which the kernel only reads.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            ptr::from_ref(value).cast(),
            mem::size_of::<T>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sends one message. UDP takes all of it or nothing.
pub(crate) fn send_one(
    fd: BorrowedFd<'_>,
    to: &SockAddr,
    message: &Outgoing<'_>,
) -> io::Result<()> {
    let mut iov = read_only(message.bytes);
    let header = outgoing_header(to, message, &mut iov);
    retry(|| {
        // SAFETY: `header` points at `to`, `iov` and the message's bytes and control data, all of
        // which outlive the call; the kernel only reads them.
        unsafe { libc::sendmsg(fd.as_raw_fd(), &header, 0) }
    })
    .map(drop)
}

/// Sends the first [`MESSAGES`] of `messages`, in order. Returns how many the kernel took: at
/// least one, unless there were none.
pub(crate) fn send_many<'a>(
    fd: BorrowedFd<'_>,
    to: &SockAddr,
    messages: impl Iterator<Item = Outgoing<'a>>,
) -> io::Result<usize> {
    let mut iovs = [read_only(&[]); MESSAGES];
    let mut headers: [libc::mmsghdr; MESSAGES] = array::from_fn(|_| empty());
    let mut count = 0;
    for ((message, iov), header) in messages.zip(&mut iovs).zip(&mut headers) {
        *iov = read_only(message.bytes);
        header.msg_hdr = outgoing_header(to, &message, iov);
        count += 1;
    }
    if count == 0 {
        return Ok(0);
    }
    retry(|| {
        // SAFETY: the first `count` headers are filled in above; what they point at is borrowed
        // for `'a` or lives in this function. The kernel writes to `msg_len` only.
        let taken = unsafe { libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count, 0) };
        taken as isize
    })
}

/// Takes up to `most` messages, each into its own `place`, and shows them to `each` in order of
/// arrival. Never blocks. Returns how many there were.
pub(crate) fn receive(
    fd: BorrowedFd<'_>,
    places: &mut [u8],
    place_len: usize,
    most: usize,
    mut each: impl FnMut(Incoming<'_>),
) -> io::Result<usize> {
    let mut names = [NameBuf([0; NAME_LEN]); MESSAGES];
    let mut controls = [ControlBuf::new(); MESSAGES];
    let mut iovs = [read_only(&[]); MESSAGES];
    let mut headers: [libc::mmsghdr; MESSAGES] = array::from_fn(|_| empty());
    let mut count = 0;
    for ((((place, name), control), iov), header) in places
        .chunks_exact_mut(place_len.max(1))
        .take(most)
        .zip(&mut names)
        .zip(&mut controls)
        .zip(&mut iovs)
        .zip(&mut headers)
    {
        header.msg_hdr = incoming_header(place, name, control, iov);
        count += 1;
    }
    let headers = headers.get_mut(..count).unwrap_or_default();
    // SAFETY: what each header points at is its own, and exclusively borrowed or owned here.
    let taken = unsafe { take(fd, headers)? };
    for ((header, name), control) in headers.iter().zip(&names).zip(&controls).take(taken) {
        each(Incoming::new(header, name, control));
    }
    Ok(taken)
}

/// Takes a message for each header, as far as there are any; how many there were.
///
/// # Safety
/// Each header points at a name, a control buffer and a place that nothing else refers to, each as
/// long as the header says.
unsafe fn take(fd: BorrowedFd<'_>, headers: &mut [libc::mmsghdr]) -> io::Result<usize> {
    if let [only] = headers {
        let len = retry(|| {
            // SAFETY: as the caller promises.
            unsafe { libc::recvmsg(fd.as_raw_fd(), &mut only.msg_hdr, libc::MSG_DONTWAIT) }
        })?;
        only.msg_len = len as libc::c_uint;
        return Ok(1);
    }
    retry(|| {
        // SAFETY: as the caller promises; no timeout is passed.
        let taken = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        taken as isize
    })
}

impl<'a> Incoming<'a> {
    /// What the kernel has written: to the header, and to the name and control buffers of it.
    fn new(header: &libc::mmsghdr, name: &'a NameBuf, control: &'a ControlBuf) -> Self {
        let message = &header.msg_hdr;
        // Another type with other C libraries.
        #[allow(clippy::unnecessary_cast)]
        let control_len = message.msg_controllen as usize;
        let name_len = message.msg_namelen as usize;
        Incoming {
            name: name.0.get(..name_len).unwrap_or(&name.0),
            controls: control.received(control_len),
            len: header.msg_len as usize,
            truncated: message.msg_flags & libc::MSG_TRUNC != 0,
        }
    }
}

fn incoming_header(
    place: &mut [u8],
    name: &mut NameBuf,
    control: &mut ControlBuf,
    iov: &mut libc::iovec,
) -> libc::msghdr {
    iov.iov_base = place.as_mut_ptr().cast();
    iov.iov_len = place.len();
    let mut header = empty().msg_hdr;
    header.msg_name = name.0.as_mut_ptr().cast();
    header.msg_namelen = NAME_LEN as libc::socklen_t;
    header.msg_iov = iov;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_slice().as_mut_ptr().cast();
    header.msg_controllen = ControlBuf::LEN as _;
    header
}

fn outgoing_header(to: &SockAddr, message: &Outgoing<'_>, iov: &mut libc::iovec) -> libc::msghdr {
    let mut header = empty().msg_hdr;
    header.msg_name = to.as_ptr().cast_mut().cast();
    header.msg_namelen = to.len();
    header.msg_iov = iov;
    header.msg_iovlen = 1;
    if !message.control.is_empty() {
        header.msg_control = message.control.as_ptr().cast_mut().cast();
        header.msg_controllen = message.control.len() as _;
    }
    header
}

fn read_only(bytes: &[u8]) -> libc::iovec {
    libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    }
}

fn empty() -> libc::mmsghdr {
    // SAFETY: `mmsghdr` is integers and raw pointers, for which all bits zero is a value. (It has
    // private padding with some C libraries, so it cannot be written out.)
    unsafe { mem::zeroed() }
}

/// Calls until a signal does not interfere; makes an error of a negative result.
fn retry(mut call: impl FnMut() -> isize) -> io::Result<usize> {
    loop {
        if let Ok(result) = usize::try_from(call()) {
            return Ok(result);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
