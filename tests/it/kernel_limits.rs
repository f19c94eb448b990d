//! Catches kernels that move or compute more than the limits in `docs/kernels.md`, counted on the simulated
//! GPU.

use cudasim::driver::{Config, Counters};
use cudasim::loader;

use crate::counted_step::step;
use crate::sparse_model::{MODELS, Sizes};

/// Not a multiple of any tile.
const TOKENS: usize = 300;

/// A layer whose every part is larger than what a block works on, with heads of `head_dim` columns.
fn sizes(head_dim: usize) -> Sizes {
    let heads = 1024 / head_dim;
    Sizes { layers: 1, hidden: 1024, ffn: 2816, heads, kv_heads: heads / 2, vocab: 4096, ..MODELS[0] }
}

/// Bounds hold for what memory limits. Attention is limited by arithmetic: see below.
fn check_memory(name: &str, counters: &Counters) {
    let traffic = &counters.traffic;
    let ratio = |part: u64, whole: u64| if whole == 0 { 1.0 } else { part as f64 / whole as f64 };
    // Bytes against a launch's least: one tenth is for rows that several blocks need, as norm weights.
    // Launches below 100 kB end before memory matters.
    let moved = ratio(traffic.block_sectors, traffic.least_sectors);
    let is_small = 32 * traffic.least_sectors < 100_000 * counters.launches;
    assert!(is_small || name.starts_with("attention") || moved <= 1.10, "{name}: {moved} of the bytes");
    // Sectors: rows that start within one may cost a twentieth.
    let sectors = ratio(traffic.sectors(), traffic.load_ideal_sectors + traffic.store_ideal_sectors);
    assert!(is_small || sectors <= 1.05, "{name}: {sectors} of the sectors");
    let waves = ratio(traffic.shared_waves, traffic.shared_ideal_waves);
    assert!(waves <= 1.10, "{name}: {waves} of the turns of banks");
}

/// Products of 16 by 16 by 8 that tiles of 16 by 16 on and below the diagonal need: with `outer` products
/// whose inner dimension is the head, of scores, and `inner` ones with scores as their left factor.
fn least_products(head_dim: usize, [outer, inner]: [usize; 2]) -> u64 {
    let rows = TOKENS.div_ceil(16);
    let tiles = rows * (rows + 1) / 2 * sizes(head_dim).heads;
    (tiles * (outer * 2 * (head_dim / 16) + inner * (head_dim / 8))) as u64
}

#[test]
fn kernels_move_and_multiply_little_more_than_they_must() {
    let _turn = crate::device_turn();
    let loader::Device::Simulated(simulator) = loader::device() else {
        panic!("this counts on the simulated device: run it on a machine without a driver")
    };
    for head_dim in [64, 128] {
        simulator.configure(&Config { profiles: true, ..Config::default() });
        let report = step(simulator, &sizes(head_dim), TOKENS);
        simulator.configure(&Config::default());
        assert!(report.counters.len() > 15, "{:?}", report.counters.keys());
        report.counters.iter().for_each(|(name, counters)| check_memory(name, counters));
        for (pass, products) in [("forward", [1, 1]), ("backward_q", [2, 1]), ("backward_kv", [2, 2])] {
            let counters = &report.counters[&format!("attention_{pass}_tiles_{head_dim}_bf16")];
            let ratio = counters.mma as f64 / least_products(head_dim, products) as f64;
            assert!((1.0..=1.05).contains(&ratio), "{pass} {head_dim}: {ratio} of the products");
        }
    }
}
