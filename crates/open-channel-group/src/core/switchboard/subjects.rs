//! Which subscriptions match a topic, without looking at all of them.

use std::collections::BTreeMap;

use crate::core::ids::{MemberId, SubscriptionId};
use crate::core::pattern::{Pattern, Topic};

/// A subscription of the group.
pub(crate) type Subscriber = (MemberId, SubscriptionId);

/// Patterns as a tree of their tokens.
#[derive(Debug, Default)]
pub(crate) struct Subjects {
    children: BTreeMap<Box<str>, Subjects>,
    here: Vec<Subscriber>,
}

impl Subjects {
    pub(crate) fn insert(&mut self, pattern: &Pattern, subscriber: Subscriber) {
        let mut node = self;
        for token in pattern.as_str().split('.') {
            node = node.children.entry(token.into()).or_default();
        }
        node.here.push(subscriber);
    }

    pub(crate) fn remove(&mut self, pattern: &Pattern, subscriber: Subscriber) {
        self.prune(Some(pattern.as_str()), subscriber);
    }

    fn prune(&mut self, path: Option<&str>, subscriber: Subscriber) {
        let Some(path) = path else {
            self.here.retain(|one| *one != subscriber);
            return;
        };
        let (token, rest) =
            path.split_once('.').map_or((path, None), |(token, rest)| (token, Some(rest)));
        if let Some(child) = self.children.get_mut(token) {
            child.prune(rest, subscriber);
            if child.here.is_empty() && child.children.is_empty() {
                self.children.remove(token);
            }
        }
    }

    /// All that match, in the order of their members and numbers.
    pub(crate) fn matching(&self, topic: &Topic) -> Vec<Subscriber> {
        let mut found = Vec::new();
        let mut nodes = vec![self];
        for token in topic.as_str().split('.') {
            let mut next = Vec::new();
            for node in nodes {
                if let Some(rest) = node.children.get(">") {
                    found.extend_from_slice(&rest.here);
                }
                next.extend(node.children.get("*"));
                next.extend(node.children.get(token));
            }
            nodes = next;
        }
        found.extend(nodes.into_iter().flat_map(|node| &node.here));
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a test may panic
mod tests {
    use super::*;

    #[test]
    fn the_tree_finds_what_the_patterns_match() {
        let patterns = ["a", "a.b", "a.*", "*.b", "*.*", "a.>", ">", "*.>", "a.b.c", "a.*.c", "*"];
        let topics = ["a", "b", "a.b", "a.c", "b.b", "a.b.c", "a.c.c", "b.c.d.e"];
        let mut subjects = Subjects::default();
        let all: Vec<(Pattern, Subscriber)> = (0..)
            .zip(patterns)
            .map(|(n, text)| (Pattern::new(text).unwrap(), (MemberId(n), SubscriptionId(n))))
            .collect();
        for (pattern, subscriber) in &all {
            subjects.insert(pattern, *subscriber);
        }
        for topic in topics.map(|text| Topic::new(text).unwrap()) {
            let expected: Vec<_> = all
                .iter()
                .filter(|(pattern, _)| pattern.matches(&topic))
                .map(|(_, subscriber)| *subscriber)
                .collect();
            assert_eq!(subjects.matching(&topic), expected, "{topic}");
        }
        for (pattern, subscriber) in &all {
            subjects.remove(pattern, *subscriber);
        }
        assert!(subjects.children.is_empty(), "nothing is left behind");
    }
}
