//! What a card uses of energy, as NVML tells it.

use ironwarp::error::DeviceError;
use ironwarp::exec::Device;
use ironwarp::exec::cuda::CardEnergy;

#[test]
fn a_card_uses_energy_or_says_that_it_does_not_tell() {
    let Some(_session) = emulator::session() else { return };
    match Device::cuda(0).expect("a card").card_energy().expect("a GPU") {
        // At rest too.
        Ok(energy) => while energy.joules().expect("it still tells") <= 0.0 {},
        Err(error) => {
            assert!(emulator::on_a_card() && matches!(error, DeviceError::Unusable { .. }));
        }
    }
}

#[test]
fn emulated_energy_is_counted_from_when_it_was_asked_for() {
    let Some(session) = emulator::session() else { return };
    let device = Device::cuda(0).expect("a card");
    let energy = device.card_energy().expect("a GPU").expect("the card tells");
    // The stand-in uses a joule between two questions.
    assert_eq!([energy.joules(), energy.joules()], [Some(1.0), Some(2.0)]);
    assert_eq!(session.nvml_started(), 1);
    drop(energy);
    assert_eq!(session.nvml_started(), 0);
    assert!(Device::cpu().card_energy().is_none());
}

#[test]
fn emulated_power_is_added_where_no_energy_is_counted() {
    let Some(session) = emulator::session() else { return };
    session.configure(emulator::Settings { energy_counter: false, ..session.settings() });
    let energy = CardEnergy::of(0).expect("the card tells its power");
    while energy.joules().expect("it still tells") < 5.0 {
        std::thread::yield_now();
    }
    drop(energy);
    assert_eq!(session.nvml_started(), 0, "the thread has ended");
}

#[test]
fn emulated_card_that_is_not_there_tells_nothing() {
    let Some(_session) = emulator::session() else { return };
    let Err(error) = CardEnergy::of(7) else { panic!("there is one card") };
    assert!(matches!(error, DeviceError::Unusable { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("cuda:7") && text.contains("cuDeviceGetPCIBusId failed"), "{text}");
}
