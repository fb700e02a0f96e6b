//! The order of the leaves.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::super::blocks::BlockId;
use super::{Connection, Resolver};

impl Resolver<'_, '_> {
    /// The leaves, each after those that it reads, otherwise in the order of the file.
    pub(super) fn order(&mut self, connections: &[Vec<Connection>]) -> Option<Vec<BlockId>> {
        // A union comes just before the transform that reads it.
        let mut keys: Vec<(usize, usize)> = (0..connections.len()).map(|id| (id, usize::MAX)).collect();
        for ((reader, index), leaf) in &self.flattens {
            keys[*leaf] = (*reader, *index);
        }
        let leaves: Vec<_> = (0..connections.len()).filter(|id| self.is_leaf(*id)).collect();
        let mut waits: Vec<usize> = connections.iter().map(Vec::len).collect();
        let mut readers: Vec<Vec<BlockId>> = vec![Vec::new(); connections.len()];
        for &leaf in &leaves {
            for connection in &connections[leaf] {
                readers[connection.port.leaf].push(leaf);
            }
        }
        let mut ready: BinaryHeap<_> = leaves
            .iter()
            .filter(|leaf| waits[**leaf] == 0)
            .map(|leaf| Reverse((keys[*leaf], *leaf)))
            .collect();
        let mut order = Vec::with_capacity(leaves.len());
        while let Some(Reverse((_, leaf))) = ready.pop() {
            order.push(leaf);
            for &reader in &readers[leaf] {
                waits[reader] -= 1;
                if waits[reader] == 0 {
                    ready.push(Reverse((keys[reader], reader)));
                }
            }
        }
        if order.len() == leaves.len() {
            return Some(order);
        }
        self.report_cycle(connections, &waits, &leaves);
        None
    }

    /// Reports one circle among the leaves that wait for each other.
    fn report_cycle(&mut self, connections: &[Vec<Connection>], waits: &[usize], leaves: &[BlockId]) {
        let Some(mut at) = leaves.iter().copied().find(|leaf| waits[*leaf] > 0) else {
            return;
        };
        let mut path = vec![at];
        let mut places = HashMap::from([(at, 0)]);
        let start = loop {
            let next = connections[at]
                .iter()
                .map(|connection| connection.port.leaf)
                .find(|leaf| waits[*leaf] > 0);
            let Some(next) = next else { return };
            if let Some(start) = places.get(&next) {
                break *start;
            }
            places.insert(next, path.len());
            path.push(next);
            at = next;
        };
        const SHOWN: usize = 20;
        let circle = &path[start..];
        let first = circle.iter().copied().min().unwrap_or(at);
        let rotation = circle.iter().position(|leaf| *leaf == first).unwrap_or(0);
        let circle = circle
            .iter()
            .cycle()
            .skip(rotation)
            .take(circle.len().min(SHOWN))
            .chain([&first]);
        let names: Vec<_> = circle
            .map(|leaf| format!("`{}`", self.block(*leaf).full_name))
            .collect();
        let block = &self.blocks.blocks[first];
        let message = format!("the inputs go round in a circle: {}", names.join(" reads "));
        self.report
            .within(&block.full_name, |report| report.error(block.span, message));
    }
}
