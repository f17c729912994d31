//! Intel's `crypto_mb` (Cryptography Primitives Library): eight RSA operations at once with AVX-512 IFMA or AVX-IFMA.
//! All unsafe code of this project is in this file. It is sound for these reasons:
//!
//! * The functions read and write only through the pointers that they are given: eight of each kind, and a buffer.
//!   Every pointer comes from a slice whose length was checked against what the operation of this key size reads or
//!   writes, and the slices outlive the call. Input and output are different slices.
//! * The library keeps no state between calls, takes no callback, and holds no lock: calls may run on several threads.
//!   The method tables are its own constants.
//! * The library's own test of the processor is called before anything else here can be reached.
//!
//! The parent module verifies the results.
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    process::abort,
    ptr,
};

use rsa::pkcs1::{self, UintRef};
use zeroize::Zeroizing;

use super::{LANES, Lanes};

/// One pointer for each lane.
type Pointers<T> = [*const T; LANES];
type Outputs = [*mut u8; LANES];
/// `mbx_RSA_Method`: opaque.
type Method = *const c_void;

/// `mbxVersion`.
#[repr(C)]
struct Version {
    major: c_int,
    minor: c_int,
    patch: c_int,
    target_cpu: [c_char; 4],
    name: *const c_char,
    build_date: *const c_char,
    text: *const c_char,
}

#[link(name = "crypto_mb", kind = "static")]
unsafe extern "C" {
    fn mbx_getversion() -> *const Version;
    fn mbx_is_crypto_mb_applicable(features: u64) -> c_int;
    fn mbx_RSA_pub65537_Method(bits: c_int) -> Method;
    fn mbx_RSA_private_crt_Method(bits: c_int) -> Method;
    fn mbx_RSA_Method_BufSize(method: Method) -> c_int;
    fn mbx_rsa_public_mb8(
        from: *const *const u8,
        to: *const *mut u8,
        n: *const *const u64,
        bits: c_int,
        method: Method,
        buffer: *mut u8,
    ) -> u32;
    fn mbx_rsa_private_crt_mb8(
        from: *const *const u8,
        to: *const *mut u8,
        p: *const *const u64,
        q: *const *const u64,
        dp: *const *const u64,
        dq: *const *const u64,
        q_inverse: *const *const u64,
        bits: c_int,
        method: Method,
        buffer: *mut u8,
    ) -> u32;
}

/// Stand-in for OpenSSL's function of this name, as [`BN_bn2lebinpad`]. The library's conversions from OpenSSL's
/// numbers need both. Nothing here calls those conversions, but the linker needs them: they share a section with
/// functions that are called.
#[unsafe(no_mangle)]
extern "C" fn BN_num_bits(_: *const c_void) -> c_int {
    abort()
}

/// See [`BN_num_bits`].
#[unsafe(no_mangle)]
extern "C" fn BN_bn2lebinpad(_: *const c_void, _: *mut u8, _: c_int) -> c_int {
    abort()
}

/// Returns name and version of the library, where this processor can run it.
pub(super) fn available() -> Result<String, String> {
    // SAFETY: 0 asks the processor itself; nothing is read or written.
    if unsafe { mbx_is_crypto_mb_applicable(0) } != 1 {
        return Err("the processor has neither AVX-512 IFMA nor AVX-IFMA".to_owned());
    }
    // SAFETY: the library's own constant, whose texts end with a zero.
    let text = unsafe { CStr::from_ptr((*mbx_getversion()).text) };
    Ok(text.to_string_lossy().into_owned())
}

/// Reads the processor's time stamp counter, where an emulated processor counts its instructions (`tests/batch/`).
#[cfg(test)]
pub(super) fn time_stamp() -> u64 {
    // SAFETY: reads a counter that every processor has that this library was made for.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// Makes the lanes of a key.
///
/// # Errors
/// The reason, as text, where the library has no operation for a key of this size.
pub(super) fn lanes(key: &pkcs1::RsaPrivateKeyRef<'_>) -> Result<Box<dyn Lanes>, String> {
    let length = key.modulus.as_bytes().len();
    let bits = match length {
        256 => 2048,
        384 => 3072,
        512 => 4096,
        _ => return Err(format!("the batch library has no operation for {} bits", length * 8)),
    };
    let half = |number| limbs(number, length / 2);
    // SAFETY: these look up constants for sizes that the library has.
    let (public, private) = unsafe { (mbx_RSA_pub65537_Method(bits), mbx_RSA_private_crt_Method(bits)) };
    if public.is_null() || private.is_null() {
        return Err(format!("the batch library has no operation for {bits} bits"));
    }
    Ok(Box::new(CryptoMb {
        length,
        bits,
        public: Operation::new(public),
        private: Operation::new(private),
        n: limbs(key.modulus, length)?,
        p: half(key.prime1)?,
        q: half(key.prime2)?,
        dp: half(key.exponent1)?,
        dq: half(key.exponent2)?,
        q_inverse: half(key.coefficient)?,
    }))
}

/// Converts a number to 64-bit limbs, least significant first, of `bytes` bytes in all.
fn limbs(number: UintRef<'_>, bytes: usize) -> Result<Zeroizing<Box<[u64]>>, String> {
    let number = number.as_bytes();
    if number.len() > bytes {
        return Err("its primes differ in size".to_owned());
    }
    let mut limbs = Zeroizing::new(vec![0; bytes / 8].into_boxed_slice());
    for (at, byte) in number.iter().rev().enumerate() {
        limbs[at / 8] |= u64::from(*byte) << (at % 8 * 8);
    }
    Ok(limbs)
}

/// Method of the library, and the scratch space that it needs.
struct Operation {
    method: Method,
    /// Size in bytes.
    scratch: usize,
}

// SAFETY: the method is a pointer to a constant of the library.
unsafe impl Send for Operation {}
// SAFETY: as above.
unsafe impl Sync for Operation {}

impl Operation {
    fn new(method: Method) -> Self {
        // SAFETY: the method came from the library.
        let bytes = unsafe { mbx_RSA_Method_BufSize(method) };
        Self { method, scratch: usize::try_from(bytes).unwrap_or(0) }
    }

    /// Allocates scratch space, which is erased on drop, eight bytes at a time.
    fn scratch(&self) -> Zeroizing<Vec<u64>> {
        Zeroizing::new(vec![0; self.scratch.div_ceil(8)])
    }
}

struct CryptoMb {
    length: usize,
    bits: c_int,
    public: Operation,
    private: Operation,
    n: Zeroizing<Box<[u64]>>,
    p: Zeroizing<Box<[u64]>>,
    q: Zeroizing<Box<[u64]>>,
    dp: Zeroizing<Box<[u64]>>,
    dq: Zeroizing<Box<[u64]>>,
    q_inverse: Zeroizing<Box<[u64]>>,
}

impl CryptoMb {
    /// Splits the buffers into pointers to each lane's number.
    fn split(&self, from: &[u8], to: &mut [u8]) -> (Pointers<u8>, Outputs) {
        assert!(
            from.len() == LANES * self.length && to.len() == LANES * self.length,
            "eight numbers of the key's size"
        );
        let (mut sources, mut targets) = ([ptr::null(); LANES], [ptr::null_mut(); LANES]);
        for (source, number) in sources.iter_mut().zip(from.chunks_exact(self.length)) {
            *source = number.as_ptr();
        }
        for (target, number) in targets.iter_mut().zip(to.chunks_exact_mut(self.length)) {
            *target = number.as_mut_ptr();
        }
        (sources, targets)
    }
}

/// Pointers to the same number for each lane.
fn each(number: &[u64]) -> Pointers<u64> {
    [number.as_ptr(); LANES]
}

/// Checks the status of all lanes, four bits each; 0 is success.
fn checked(status: u32) -> Result<(), String> {
    if status == 0 { Ok(()) } else { Err(format!("the batch library answered {status:#010x}")) }
}

impl Lanes for CryptoMb {
    fn private(&self, from: &[u8], to: &mut [u8]) -> Result<(), String> {
        let (from, to) = self.split(from, to);
        let (p, q, dp, dq) = (each(&self.p), each(&self.q), each(&self.dp), each(&self.dq));
        let q_inverse = each(&self.q_inverse);
        let mut scratch = self.private.scratch();
        // SAFETY: the argument at the top of this file. `from` and `to` have `bits` each, the five private numbers
        // half of that, the scratch space what the method asks for.
        checked(unsafe {
            mbx_rsa_private_crt_mb8(
                from.as_ptr(),
                to.as_ptr(),
                p.as_ptr(),
                q.as_ptr(),
                dp.as_ptr(),
                dq.as_ptr(),
                q_inverse.as_ptr(),
                self.bits,
                self.private.method,
                scratch.as_mut_ptr().cast(),
            )
        })
    }

    fn public(&self, from: &[u8], to: &mut [u8]) -> Result<(), String> {
        let (from, to) = self.split(from, to);
        let n = each(&self.n);
        let mut scratch = self.public.scratch();
        // SAFETY: the argument at the top of this file. All numbers have `bits`, the scratch space what the method
        // asks for.
        checked(unsafe {
            mbx_rsa_public_mb8(
                from.as_ptr(),
                to.as_ptr(),
                n.as_ptr(),
                self.bits,
                self.public.method,
                scratch.as_mut_ptr().cast(),
            )
        })
    }
}
