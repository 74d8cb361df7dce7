//! Which nodes could take which class of jobs. What nodes give changes by itself, so nothing is remembered for longer than
//! until the next sweep; the nodes have the last word all the same.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::nodes::Node;
use crate::model::needs::MAX_CLASSES;
use crate::model::{ClassId, JobSpec, Needs, NodeId};

/// What is known of the classes that wait.
#[derive(Debug, Default)]
pub(super) struct Capabilities {
    classes: HashMap<ClassId, Class>,
}

#[derive(Debug)]
struct Class {
    example: JobSpec,
    takes_anything: bool,
    /// Whether these nodes could take it, as far as they were asked.
    nodes: HashMap<NodeId, bool>,
    /// Whether any could.
    any: Option<bool>,
}

impl Class {
    fn new(needs: &Needs) -> Self {
        Self {
            example: needs.example(),
            takes_anything: needs.takes_anything,
            nodes: HashMap::new(),
            any: None,
        }
    }

    fn is_for(&mut self, id: NodeId, node: &Node) -> bool {
        let (example, anything) = (&self.example, self.takes_anything);
        *self.nodes.entry(id).or_insert_with(|| {
            let gives = || anything || node.rooms.judge(example).is_ok();
            let fences = example.on_disconnect.is_keep() || node.spec.fences;
            fences && example.requires.are_met_by(id, &node.spec) && gives()
        })
    }
}

impl Capabilities {
    /// Jobs of this class wait.
    pub fn learn(&mut self, class: ClassId, needs: &Arc<Needs>) {
        self.classes.entry(class).or_insert_with(|| Class::new(needs));
    }

    /// Whether this node could take a job of this class.
    pub fn is_for(&mut self, class: ClassId, id: NodeId, node: &Node) -> bool {
        self.classes.get_mut(&class).is_some_and(|class| class.is_for(id, node))
    }

    /// Whether any of these nodes could, if all its slots were free.
    pub fn has_node(&mut self, class: ClassId, nodes: &BTreeMap<NodeId, Node>) -> bool {
        let Some(class) = self.classes.get_mut(&class) else {
            return true;
        };
        if let Some(any) = class.any {
            return any;
        }
        let any = nodes.iter().any(|(id, node)| node.may_open() && class.is_for(*id, node));
        class.any = Some(any);
        any
    }

    /// A node came, went or changed: everything is asked anew.
    pub fn doubt(&mut self) {
        for class in self.classes.values_mut() {
            class.nodes.clear();
            class.any = None;
        }
    }

    /// Whether there are so many that those of which nothing waits should go before the next sweep.
    pub fn are_many(&self) -> bool {
        self.classes.len() > 2 * MAX_CLASSES
    }

    /// Classes of which no job waits are forgotten.
    pub fn keep(&mut self, waits: impl Fn(ClassId) -> bool) {
        self.classes.retain(|class, _| waits(*class));
    }
}
