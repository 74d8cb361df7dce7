//! Giving up every right of this process, now and for ever. It knows no room.

use rustix::io::Errno;
use rustix::thread::{self, CapabilitiesSecureBits, CapabilitySet, CapabilitySets};

/// No capability, now or ever: the sets are emptied, nothing that is executed can fill them.
pub(super) fn give_up() -> rustix::io::Result<()> {
    bar()?;
    stay_without()
}

/// What can be barred is. Outside of a room a process may lack the right to bar anything, and the only way back to rights
/// is then barred by [`stay_without`] alone.
pub(super) fn shed() {
    let _ = bar();
}

/// No user is mighty by itself, and no right can be had that is not there now.
fn bar() -> rustix::io::Result<()> {
    let locked = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    thread::set_capabilities_secure_bits(locked)?;
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match thread::remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The sets are emptied, and no program that is executed brings anything into them.
pub(super) fn stay_without() -> rustix::io::Result<()> {
    thread::clear_ambient_capability_set()?;
    let none = CapabilitySet::empty();
    thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    thread::set_no_new_privs(true)
}
