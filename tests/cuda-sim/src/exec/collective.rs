//! Instructions between the lanes of a mask: shuffles, votes, matches, reductions, barriers of lanes.

use super::Fault;
use super::block::Worker;
use super::warp::{FULL, Group, Next, State, Warp, lanes};
use crate::finding::FindingKind;
use crate::lower::{Collective, Inst, Kind, Reduce, Shuffle, Vote};

impl Worker<'_, '_> {
    /// Runs one for each mask that is named, when all its lanes are there; the others wait.
    pub(super) fn collective(
        &mut self,
        warp: &mut Warp,
        inst: &Inst,
        pc: usize,
        mask: u32,
        active: u32,
    ) -> Result<Next, Fault> {
        let lists = &self.launch.kernel.lists;
        let rows: Vec<u32> = match inst.kind {
            Kind::Collective(kind) => lists[inst.list as usize..][..operands(kind)].to_vec(),
            _ => vec![inst.r[0]],
        };
        let masks = warp.word(*rows.last().expect("a mask"));
        let (mut rest, mut held) = (active, Vec::new());
        while rest != 0 {
            let wanted = masks[rest.trailing_zeros() as usize];
            let same =
                lanes(rest).filter(|&lane| masks[lane] == wanted).fold(0, |bits, lane| bits | 1 << lane);
            rest &= !same;
            if same & !wanted != 0 {
                let message = format!("lanes {:08x} are not in their own mask {wanted:08x}", same & !wanted);
                return Err(self.fault(warp, pc, same & !wanted, FindingKind::InactiveLane, message));
            }
            let wanted = wanted & warp.live;
            if same == wanted {
                self.run_collective(warp, inst, &rows, pc, same)?;
            } else {
                held.push((same, wanted));
            }
        }
        if held.is_empty() {
            return Ok(Next::Step);
        }
        let waiting = held.iter().fold(0, |bits, (lanes, _)| bits | lanes);
        for (lanes, wanted) in held {
            warp.groups.push(Group { pc: pc as u32, mask: lanes, state: State::Held, threads: wanted });
        }
        if mask & !waiting != 0 {
            let pc = pc as u32 + 1;
            warp.groups.push(Group { pc, mask: mask & !waiting, state: State::Ready, threads: 0 });
        }
        Ok(Next::Regroup)
    }

    fn run_collective(
        &mut self,
        warp: &mut Warp,
        inst: &Inst,
        rows: &[u32],
        pc: usize,
        active: u32,
    ) -> Result<(), Fault> {
        let Kind::Collective(kind) = inst.kind else {
            if let Some(shadow) = &mut self.shadow {
                shadow.warp_barrier(warp.id);
            }
            return Ok(());
        };
        match kind {
            Collective::Shuffle(mode, wants) => return self.shuffle(warp, rows, mode, wants, pc, active),
            Collective::Vote(mode) => {
                let bits = warp.predicate(rows[1]) & active;
                let holds = match mode {
                    Vote::Ballot => {
                        warp.write_word(rows[0], active, bits);
                        return Ok(());
                    }
                    Vote::All => bits == active,
                    Vote::Any => bits != 0,
                    Vote::Uni => bits == active || bits == 0,
                };
                warp.write_predicate(rows[0], active, if holds { FULL } else { 0 });
            }
            Collective::MatchAny(wide) => {
                let values = if wide { warp.double(rows[1]) } else { warp.word(rows[1]).map(u64::from) };
                let same = |lane: usize| {
                    let alike = lanes(active).filter(|&other| values[other] == values[lane]);
                    alike.fold(0, |bits, other| bits | 1 << other)
                };
                warp.write_words(rows[0], active, &std::array::from_fn(same));
            }
            Collective::MatchAll(wide, _) => {
                let values = if wide { warp.double(rows[2]) } else { warp.word(rows[2]).map(u64::from) };
                let first = values[active.trailing_zeros() as usize];
                let all = lanes(active).all(|lane| values[lane] == first);
                warp.write_word(rows[0], active, if all { active } else { 0 });
                warp.write_predicate(rows[1], active, if all { FULL } else { 0 });
            }
            Collective::Reduce(reduce) => {
                let values = warp.word(rows[1]);
                let result = lanes(active).map(|lane| values[lane]).reduce(|x, y| reduce.of_u32(x, y));
                warp.write_word(rows[0], active, result.unwrap_or(0));
            }
        }
        Ok(())
    }

    /// Source: "PTX ISA" 8.8, section 9.7.9.6: a lane whose source is outside of its segment keeps its own
    /// value.
    fn shuffle(
        &mut self,
        warp: &mut Warp,
        rows: &[u32],
        mode: Shuffle,
        wants: bool,
        pc: usize,
        active: u32,
    ) -> Result<(), Fault> {
        let (values, distances, clamps) = (warp.word(rows[2]), warp.word(rows[3]), warp.word(rows[4]));
        let (mut result, mut inside) = (values, 0);
        for lane in lanes(active) {
            let (distance, clamp, segment) =
                (distances[lane] & 31, clamps[lane] & 31, clamps[lane] >> 8 & 31);
            let here = lane as u32;
            let last = here & segment | clamp & !segment;
            let (source, is_inside) = match mode {
                Shuffle::Up => (here.wrapping_sub(distance), here as i32 - distance as i32 >= last as i32),
                Shuffle::Down => (here + distance, here + distance <= last),
                Shuffle::Bfly => (here ^ distance, here ^ distance <= last),
                Shuffle::Idx => {
                    let source = here & segment | distance & !segment;
                    (source, source <= last)
                }
            };
            let source = if is_inside { source } else { here };
            if active >> source & 1 == 0 {
                let message = format!("lane {lane} reads lane {source}, which takes no part");
                return Err(self.fault(warp, pc, 1 << lane, FindingKind::InactiveLane, message));
            }
            result[lane] = values[source as usize];
            inside |= u32::from(is_inside) << lane;
        }
        warp.write_words(rows[0], active, &result);
        if wants {
            warp.write_predicate(rows[1], active, inside);
        }
        Ok(())
    }
}

/// Rows in the list; the mask is the last.
fn operands(kind: Collective) -> usize {
    match kind {
        Collective::Shuffle(..) => 6,
        Collective::MatchAll(..) => 4,
        Collective::Vote(_) | Collective::MatchAny(_) | Collective::Reduce(_) => 3,
    }
}

impl Reduce {
    /// The operation on two 32-bit words.
    pub(super) fn of_u32(self, x: u32, y: u32) -> u32 {
        match self {
            Self::Add => x.wrapping_add(y),
            Self::MinS => (x as i32).min(y as i32) as u32,
            Self::MaxS => (x as i32).max(y as i32) as u32,
            Self::MinU => x.min(y),
            Self::MaxU => x.max(y),
            Self::And => x & y,
            Self::Or => x | y,
            Self::Xor => x ^ y,
        }
    }

    /// The operation on two 64-bit words.
    pub(super) fn of_u64(self, x: u64, y: u64) -> u64 {
        match self {
            Self::Add => x.wrapping_add(y),
            Self::MinS => (x as i64).min(y as i64) as u64,
            Self::MaxS => (x as i64).max(y as i64) as u64,
            Self::MinU => x.min(y),
            Self::MaxU => x.max(y),
            Self::And => x & y,
            Self::Or => x | y,
            Self::Xor => x ^ y,
        }
    }
}
