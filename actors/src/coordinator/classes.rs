//! The needs of live jobs, each kept once: a job carries a number that stands for them. It refuses to know nodes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::needs::MAX_CLASSES;
use crate::model::{ClassId, Needs};

/// The classes of live jobs. Jobs that ask for nothing are the class 0, which is always there.
#[derive(Clone, Debug)]
pub struct ClassTable {
    ids: HashMap<Arc<Needs>, ClassId>,
    classes: HashMap<ClassId, Class>,
    default: Arc<Needs>,
    last: u32,
}

#[derive(Clone, Debug)]
struct Class {
    needs: Arc<Needs>,
    jobs: usize,
}

impl Default for ClassTable {
    fn default() -> Self {
        Self { ids: HashMap::new(), classes: HashMap::new(), default: Arc::default(), last: 0 }
    }
}

impl ClassTable {
    /// Whether jobs with these needs can be taken in.
    pub fn has_room(&self, needs: &Needs) -> bool {
        needs.is_default() || self.ids.len() < MAX_CLASSES || self.ids.contains_key(needs)
    }

    /// One more job with these needs lives.
    pub fn enter(&mut self, needs: Needs) -> ClassId {
        if needs.is_default() {
            return ClassId(0);
        }
        if let Some(id) = self.ids.get(&needs) {
            if let Some(class) = self.classes.get_mut(id) {
                class.jobs += 1;
            }
            return *id;
        }
        // Numbers are not used again soon: what was told of the old class may still be on its way.
        loop {
            self.last = self.last.wrapping_add(1).max(1);
            if !self.classes.contains_key(&ClassId(self.last)) {
                break;
            }
        }
        let (id, needs) = (ClassId(self.last), Arc::new(needs));
        self.ids.insert(Arc::clone(&needs), id);
        self.classes.insert(id, Class { needs, jobs: 1 });
        id
    }

    /// A job of this class lives no more.
    pub fn leave(&mut self, id: ClassId) {
        let Some(class) = self.classes.get_mut(&id) else { return };
        class.jobs -= 1;
        if class.jobs == 0
            && let Some(class) = self.classes.remove(&id)
        {
            self.ids.remove(&class.needs);
        }
    }

    /// What jobs of this class need.
    pub fn needs(&self, id: ClassId) -> &Arc<Needs> {
        self.classes.get(&id).map_or(&self.default, |class| &class.needs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Requires;

    fn on(runner: &str) -> Needs {
        let requires = Requires { runner: Some(runner.into()), ..Requires::default() };
        Needs { requires, ..Needs::default() }
    }

    #[test]
    fn a_class_lives_as_long_as_a_job_of_it_and_its_number_is_not_used_again() {
        let mut classes = ClassTable::default();
        assert_eq!(classes.enter(Needs::default()), ClassId(0));
        let first = classes.enter(on("a"));
        assert_eq!(classes.enter(on("a")), first);
        assert_ne!(classes.enter(on("b")), first);
        classes.leave(first);
        assert_eq!(**classes.needs(first), on("a"));
        classes.leave(first);
        assert!(classes.needs(first).is_default());
        assert_ne!(classes.enter(on("a")), first);
    }

    #[test]
    fn there_are_only_so_many() {
        let mut classes = ClassTable::default();
        (0..MAX_CLASSES).for_each(|n| _ = classes.enter(on(&n.to_string())));
        assert!(!classes.has_room(&on("one more")));
        assert!(classes.has_room(&on("1")) && classes.has_room(&Needs::default()));
    }
}
