//! Collects the parts of a job and cuts them into stages.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use weir_model::StageGraph;

use crate::PlanError;
use crate::engine::PlanBlob;
use crate::io::SinkSpec;

/// Collects the parts of a job in topological order. A part is a logical plan whose rows go to one place: to several
/// readers ([`shared`](Self::shared), computed once), to files ([`sink`](Self::sink)), to the submitter
/// ([`result`](Self::result)) or nowhere ([`discard`](Self::discard)). Each part is optimised, planned physically and
/// cut into stages at its exchanges.
pub struct StageBuilder {
    context: SessionContext,
}

/// A planned job.
pub struct Planned {
    /// The stages.
    pub graph: StageGraph,
    /// Their plans.
    pub plans: Vec<PlanBlob>,
    /// Optimised logical plans and physical stage plans, for people.
    pub logical: String,
    /// Stages with exchanges, task counts and operators, for people.
    pub stages: String,
}

impl StageBuilder {
    /// The session that logical plans are built in: functions, tables and settings.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// A part with several readers: its rows are written to a shuffle once; scan the table that comes back.
    pub async fn shared(
        &mut self,
        transforms: &[String],
        plan: LogicalPlan,
    ) -> Result<Arc<dyn TableProvider>, PlanError> {
        let _ = (transforms, plan);
        todo!()
    }

    /// A part whose rows go to files.
    pub async fn sink(&mut self, transforms: &[String], plan: LogicalPlan, sink: SinkSpec) -> Result<(), PlanError> {
        let _ = (transforms, plan, sink);
        todo!()
    }

    /// The part whose rows are the result of the job.
    pub async fn result(&mut self, plan: LogicalPlan) -> Result<(), PlanError> {
        let _ = plan;
        todo!()
    }

    /// A part that runs for its effects.
    pub async fn discard(&mut self, transforms: &[String], plan: LogicalPlan) -> Result<(), PlanError> {
        let _ = (transforms, plan);
        todo!()
    }

    /// The whole job.
    pub fn finish(self) -> Result<Planned, PlanError> {
        todo!()
    }
}
