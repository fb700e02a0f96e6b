//! The exports of a component.

use std::cell::RefCell;

use crate::bindings::exports::weir::udf::{aggregate, flat_map, functions, scalar};
use crate::bindings::weir::udf::types::{Batch, Error, Field, RowError};
use crate::function::{Instance, fault};
use crate::{config, metrics};

/// The functions of a component; made by [`export!`](crate::export).
pub trait Component {
    /// What there is.
    fn describe() -> Vec<functions::Function>;
    /// Starts to use a function, if there is one of that name.
    fn open(function: &str) -> Option<Box<dyn Instance>>;
}

thread_local! {
    /// The function that this instance was opened for. A component has one thread.
    static INSTANCE: RefCell<Option<Box<dyn Instance>>> = const { RefCell::new(None) };
}

/// Calls the open function and reports what it counted.
fn with<T>(call: impl FnOnce(&mut dyn Instance) -> Result<T, Error>) -> Result<T, Error> {
    INSTANCE.with_borrow_mut(|instance| {
        let instance = instance
            .as_mut()
            .ok_or_else(|| fault("no function is open".to_owned()))?;
        let result = call(instance.as_mut());
        metrics::report();
        result
    })
}

impl<C: Component> functions::Guest for C {
    fn describe() -> Vec<functions::Function> {
        C::describe()
    }

    fn open(function: String, _input: Vec<Field>, config: String) -> Result<(), String> {
        let instance = C::open(&function).ok_or_else(|| format!("there is no function `{function}`"))?;
        config::set(config)?;
        INSTANCE.set(Some(instance));
        Ok(())
    }
}

impl<C: Component> scalar::Guest for C {
    fn call(input: Batch) -> Result<scalar::Evaluated, Error> {
        with(|instance| instance.scalar(&input))
    }
}

impl<C: Component> flat_map::Guest for C {
    fn call(input: Batch) -> Result<flat_map::Mapped, Error> {
        with(|instance| instance.flat_map(&input))
    }
}

impl<C: Component> aggregate::Guest for C {
    fn update(input: Batch, groups: Vec<u32>, group_count: u32) -> Result<Vec<RowError>, Error> {
        with(|instance| instance.update(&input, &groups, group_count))
    }

    fn merge(states: Batch, groups: Vec<u32>, group_count: u32) -> Result<(), Error> {
        with(|instance| instance.merge(&states, &groups, group_count))
    }

    fn state(groups: Option<u32>) -> Result<Batch, Error> {
        with(|instance| instance.state(groups))
    }

    fn evaluate(groups: Option<u32>) -> Result<Batch, Error> {
        with(|instance| instance.evaluate(groups))
    }
}
