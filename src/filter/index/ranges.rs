use std::cmp::Ordering;
use std::hash::Hash;

use super::access::{Edge, Range};
use super::posting::{Posting, Taken};
use crate::filter::value::{Key, Value};

/// Ranges, found by a value that lies in them.
///
/// A treap in order of the lower bounds, in which every node knows the furthest upper bound below it: a search leaves
/// out all subtrees that end before the value, and takes `O(log n)` steps for each range that it finds.
#[derive(Debug)]
pub(super) struct Ranges<K> {
    nodes: Vec<Node<K>>,
    /// Places in `nodes` that are not in use.
    free: Vec<u32>,
    root: u32,
}

const NONE: u32 = u32::MAX;

#[derive(Debug)]
struct Node<K> {
    lower: Bound,
    upper: Bound,
    posting: Option<Posting<K>>,
    /// Of all nodes below, its own included, the one that ends last.
    furthest: u32,
    /// Decides which of two nodes is above the other; at random, which keeps the tree flat.
    priority: u32,
    left: u32,
    right: u32,
}

/// An [`Edge`] that owns its key.
#[derive(Clone, Debug)]
enum Bound {
    Open,
    At(Key),
    Beside(Key),
}

impl Bound {
    fn of(edge: Edge<'_>) -> Self {
        match edge {
            Edge::Open => Self::Open,
            Edge::At(key) => Self::At(key.clone()),
            Edge::Beside(key) => Self::Beside(key.clone()),
        }
    }

    const fn edge(&self) -> Edge<'_> {
        match self {
            Self::Open => Edge::Open,
            Self::At(key) => Edge::At(key),
            Self::Beside(key) => Edge::Beside(key),
        }
    }
}

impl<K: Copy + Eq + Hash> Ranges<K> {
    pub(super) const fn new() -> Self {
        Self { nodes: Vec::new(), free: Vec::new(), root: NONE }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.root == NONE
    }

    pub(super) fn insert(&mut self, range: Range<'_>, key: K) {
        if let Some(at) = self.find(range) {
            match &mut self.node_mut(at).posting {
                Some(posting) => drop(posting.add(key)),
                empty @ None => *empty = Some(Posting::One(key)),
            }
            return;
        }
        let new = self.allocate(range, key);
        let (left, right) = self.split(self.root, range);
        let left = self.join(left, new);
        self.root = self.join(left, right);
    }

    pub(super) fn remove(&mut self, range: Range<'_>, key: &K) {
        let Some(at) = self.find(range) else { return };
        let taken = self.node_mut(at).posting.as_mut().map(|posting| posting.take(key));
        if !matches!(taken, Some(Taken::Last)) {
            return;
        }
        self.root = self.unlink(self.root, range);
        let node = self.node_mut(at);
        node.posting = None;
        node.lower = Bound::Open;
        node.upper = Bound::Open;
        self.free.push(at);
        if self.root == NONE {
            *self = Self::new();
        }
    }

    /// Appends the keys of all ranges that `value` lies in.
    pub(super) fn containing(&self, value: Value<'_>, out: &mut Vec<K>) {
        let mut stack = Stack::default();
        stack.push(self.root);
        while let Some(at) = stack.pop() {
            let node = self.node(at);
            if !self.node(node.furthest).upper.edge().ends_behind(value) {
                continue;
            }
            stack.push(node.left);
            // All to the right of a range that starts too late start even later.
            if node.lower.edge().starts_before(value) {
                if node.upper.edge().ends_behind(value) {
                    out.extend_from_slice(node.keys());
                }
                stack.push(node.right);
            }
        }
    }

    /// Appends all keys.
    pub(super) fn all(&self, out: &mut Vec<K>) {
        for node in &self.nodes {
            out.extend_from_slice(node.keys());
        }
    }

    fn node(&self, at: u32) -> &Node<K> {
        &self.nodes[at as usize]
    }

    fn node_mut(&mut self, at: u32) -> &mut Node<K> {
        &mut self.nodes[at as usize]
    }

    fn compare(&self, at: u32, range: Range<'_>) -> Ordering {
        let node = self.node(at);
        node.lower.edge().cmp_lower(range.lower).then_with(|| node.upper.edge().cmp_upper(range.upper))
    }

    fn find(&self, range: Range<'_>) -> Option<u32> {
        let mut at = self.root;
        while at != NONE {
            at = match self.compare(at, range) {
                Ordering::Equal => return Some(at),
                Ordering::Greater => self.node(at).left,
                Ordering::Less => self.node(at).right,
            };
        }
        None
    }

    fn allocate(&mut self, range: Range<'_>, key: K) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            u32::try_from(self.nodes.len()).expect("fewer than 2^32 ranges fit into memory")
        });
        let node = Node {
            lower: Bound::of(range.lower),
            upper: Bound::of(range.upper),
            posting: Some(Posting::One(key)),
            furthest: at,
            priority: fastrand::u32(..),
            left: NONE,
            right: NONE,
        };
        match self.nodes.get_mut(at as usize) {
            Some(place) => *place = node,
            None => self.nodes.push(node),
        }
        at
    }

    /// Finds out anew which node below `at` ends last.
    fn update(&mut self, at: u32) {
        let (left, right) = (self.node(at).left, self.node(at).right);
        let mut furthest = at;
        for child in [left, right] {
            if child != NONE {
                let other = self.node(child).furthest;
                if self.node(other).upper.edge().cmp_upper(self.node(furthest).upper.edge()).is_gt() {
                    furthest = other;
                }
            }
        }
        self.node_mut(at).furthest = furthest;
    }

    /// Cuts the tree below `at` into what comes before `range` and what comes behind it.
    ///
    /// Recurses as deep as the tree, which is flat.
    fn split(&mut self, at: u32, range: Range<'_>) -> (u32, u32) {
        if at == NONE {
            return (NONE, NONE);
        }
        if self.compare(at, range).is_lt() {
            let (left, right) = self.split(self.node(at).right, range);
            self.node_mut(at).right = left;
            self.update(at);
            (at, right)
        } else {
            let (left, right) = self.split(self.node(at).left, range);
            self.node_mut(at).left = right;
            self.update(at);
            (left, at)
        }
    }

    /// Joins two trees, all of the first before all of the second.
    fn join(&mut self, left: u32, right: u32) -> u32 {
        if left == NONE || right == NONE {
            return if left == NONE { right } else { left };
        }
        if self.node(left).priority >= self.node(right).priority {
            let joined = self.join(self.node(left).right, right);
            self.node_mut(left).right = joined;
            self.update(left);
            left
        } else {
            let joined = self.join(left, self.node(right).left);
            self.node_mut(right).left = joined;
            self.update(right);
            right
        }
    }

    /// Takes the node of `range` out of the tree below `at`.
    fn unlink(&mut self, at: u32, range: Range<'_>) -> u32 {
        if at == NONE {
            return NONE;
        }
        match self.compare(at, range) {
            Ordering::Equal => return self.join(self.node(at).left, self.node(at).right),
            Ordering::Greater => {
                let left = self.unlink(self.node(at).left, range);
                self.node_mut(at).left = left;
            }
            Ordering::Less => {
                let right = self.unlink(self.node(at).right, range);
                self.node_mut(at).right = right;
            }
        }
        self.update(at);
        at
    }
}

impl<K: Copy + Eq + Hash> Node<K> {
    fn keys(&self) -> &[K] {
        self.posting.as_ref().map_or(&[], Posting::as_slice)
    }
}

/// Nodes still to be looked at; the first few without an allocation.
#[derive(Default)]
struct Stack {
    near: [u32; 24],
    length: usize,
    far: Vec<u32>,
}

impl Stack {
    fn push(&mut self, at: u32) {
        if at == NONE {
            return;
        }
        match self.near.get_mut(self.length) {
            Some(place) => *place = at,
            None => self.far.push(at),
        }
        self.length += 1;
    }

    fn pop(&mut self) -> Option<u32> {
        self.length = self.length.checked_sub(1)?;
        self.near.get(self.length).copied().or_else(|| self.far.pop())
    }
}
