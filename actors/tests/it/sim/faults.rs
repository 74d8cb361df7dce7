//! The schedule of one seed: which faults and orders come when. It does nothing itself.

use super::env::{Env, Event};
use super::plan::Plan;

/// Puts everything on the agenda that the plan wants to happen before the faults end.
pub fn draw(env: &mut Env, plan: &Plan) {
    let end = plan.faults_end;
    let node = |env: &mut Env| env.rng.within(0, plan.nodes.len() as u64 - 1) as usize;
    for _ in 0..plan.jobs {
        let at = env.rng.within(0, end);
        env.after(at, Event::Submit);
    }
    for _ in 0..plan.slot_changes {
        let (at, node) = (env.rng.within(0, end), node(env));
        env.after(at, Event::SlotsChange(node));
    }
    for _ in 0..plan.node_crashes {
        let (at, node) = (env.rng.within(0, end), node(env));
        let down = env.rng.pick(&[5, 300, 2_000, 8_000]);
        env.after(at, Event::NodeDies(node));
        env.after((at + down).min(end), Event::NodeBoots(node));
    }
    for _ in 0..plan.coordinator_crashes {
        let at = env.rng.within(0, end);
        let down = env.rng.pick(&[5, 300, 2_000]);
        env.after(at, Event::CoordinatorDies);
        env.after((at + down).min(end), Event::CoordinatorBoots);
    }
    for _ in 0..plan.partitions {
        let (at, node) = (env.rng.within(0, end), node(env));
        let long = env.rng.pick(&[500, 3_000, 9_000]);
        let ways: &[bool] = env.rng.pick(&[&[true][..], &[false][..], &[true, false][..]]);
        for up in ways {
            env.after(at, Event::Cut { node, up: *up, cut: true });
            env.after((at + long).min(end), Event::Cut { node, up: *up, cut: false });
        }
    }
    for _ in 0..plan.blackouts {
        let (at, long) = (env.rng.within(0, end), env.rng.pick(&[2_000, 5_000, 9_000]));
        env.after(at, Event::Blackout(true));
        env.after((at + long).min(end), Event::Blackout(false));
    }
    for index in 0..plan.node_pauses + plan.coordinator_pauses {
        let (at, node) = (env.rng.within(0, end), node(env));
        let node = (index < plan.node_pauses).then_some(node);
        let for_ms = env.rng.pick(&[100, 1_500, 4_000, 9_000]).min(end - at);
        env.after(at, Event::Pause { node, for_ms });
    }
    draw_orders(env, plan);
    for node in 0..plan.nodes.len() {
        let at = env.rng.within(0, 200);
        env.after(at, Event::NodeBoots(node));
        env.after(end, Event::NodeBoots(node));
        // After what waited for the end of a pause.
        env.after(end + 1, Event::Drain { node, drain: false });
    }
    env.after(end, Event::CoordinatorBoots);
}

/// What operators and users ask for.
fn draw_orders(env: &mut Env, plan: &Plan) {
    let end = plan.faults_end;
    for _ in 0..plan.cancels {
        let at = env.rng.within(0, end);
        env.after(at, Event::Cancel);
    }
    for _ in 0..plan.retracts {
        let at = env.rng.within(0, end);
        env.after(at, Event::Retract);
    }
    for _ in 0..plan.drains {
        let at = env.rng.within(0, end);
        let node = env.rng.within(0, plan.nodes.len() as u64 - 1) as usize;
        let long = env.rng.pick(&[50, 2_000, 9_000]);
        env.after(at, Event::Drain { node, drain: true });
        env.after((at + long).min(end), Event::Drain { node, drain: false });
    }
}
