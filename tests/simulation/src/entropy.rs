//! The randomness of the operating system, made to follow from the seed.
//!
//! Hash maps of the standard library draw their keys from it, so the order in which they are iterated would
//! differ from run to run. A run has a process of its own, so that everything it draws begins anew.

use std::cell::RefCell;

use crate::dice::Dice;

thread_local! {
    static DICE: RefCell<Option<Dice>> = const { RefCell::new(None) };
}

/// From now on this thread gets bytes that follow from `seed`. Call before the thread makes its first hash
/// map.
pub fn follow(seed: u64) {
    DICE.with_borrow_mut(|dice| *dice = Some(Dice::new(seed, "entropy")));
}

/// Fills `bytes` if this thread follows a seed.
fn fill(bytes: &mut [u8]) -> bool {
    DICE.try_with(|dice| {
        let Ok(mut dice) = dice.try_borrow_mut() else { return false };
        dice.as_mut().is_some_and(|dice| {
            dice.fill(bytes);
            true
        })
    })
    .unwrap_or(false)
}

/// Takes the place of the C library's `getrandom(2)` for the whole program.
///
/// # Safety
/// `buffer` must be valid for writes of `length` bytes, as the manual page asks.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the C library's function has a raw buffer")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, flags: u32) -> isize {
    // SAFETY: the caller promises that the buffer is valid for `length` bytes.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer, length) };
    if fill(bytes) {
        return isize::try_from(length).unwrap_or(isize::MAX);
    }
    // SAFETY: the system call with the arguments that the caller gave.
    let got = unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) };
    isize::try_from(got).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The order of a hash set on a thread of its own.
    fn order(seed: u64) -> Vec<u32> {
        let ordered = move || {
            follow(seed);
            (0..100).collect::<HashSet<u32>>().into_iter().collect()
        };
        std::thread::spawn(ordered).join().expect("the thread ends")
    }

    #[test]
    fn hash_maps_follow_the_seed() {
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }
}
