//! The calls of plugs with whole messages: instance, deadline, end. Calls with streamed bodies are in `streaming.rs`.
//!
//! The wall deadline stands outside the guest's future and drops it, store and all, so it holds in a start function
//! and in post-return too. The CPU limit is checked at every tick of the epoch (`cpu/`).

use super::call::Call;
use super::call_error::{CallError, CallStop};
use super::engine::Sandbox;
use super::instances::{Instance, Instances};
use super::message::{HeaderChange, Request, RequestHead, Response, ResponseHead, Verdict};

impl Sandbox {
    /// Calls a handler.
    pub async fn handle(
        &self,
        instances: &Instances,
        call: Call,
        request: Request,
    ) -> Result<Response, CallError> {
        self.run(instances, call, async move |instance| {
            let (store, plug) = instance.handler().await?;
            let answer = plug.jackfield_plugin_handler().call_handle(&mut *store, &request).await;
            answer.map_err(CallStop::Run)?.map_err(CallStop::Returned)
        })
        .await
    }

    /// Calls a request filter.
    pub async fn on_request(
        &self,
        instances: &Instances,
        call: Call,
        request: &RequestHead,
    ) -> Result<Verdict, CallError> {
        self.run(instances, call, async move |instance| {
            let (store, plug) = instance.request_filter().await?;
            let filter = plug.jackfield_plugin_request_filter();
            filter.call_on_request(&mut *store, request).await.map_err(CallStop::Run)
        })
        .await
    }

    /// Calls a response filter.
    pub async fn on_response(
        &self,
        instances: &Instances,
        call: Call,
        request: &RequestHead,
        response: &ResponseHead,
    ) -> Result<Vec<HeaderChange>, CallError> {
        self.run(instances, call, async move |instance| {
            let (store, plug) = instance.response_filter().await?;
            let filter = plug.jackfield_plugin_response_filter();
            let changes = filter.call_on_response(&mut *store, request, response).await;
            changes.map_err(CallStop::Run)?.map_err(CallStop::Returned)
        })
        .await
    }

    async fn run<T>(
        &self,
        instances: &Instances,
        call: Call,
        guest: impl AsyncFnOnce(&mut Instance) -> Result<T, CallStop>,
    ) -> Result<T, CallError> {
        let (limits, deadline) = (call.limits.clone(), call.deadline);
        let cpu = call.cpu.clone();
        let instance = instances.for_call(call);
        let mut answer = None;
        let guest = cpu.guest(Box::pin(async {
            let mut instance = instance;
            let result = guest(&mut instance).await.map_err(|stop| {
                let state = instance.state();
                stop.explain(&limits, &state.call.cpu, &state.memory)
            });
            if answer.insert(result).is_ok() {
                instance.restore().await;
                instance.give_back();
            }
        }));
        // A call that has answered in time has, also if the deadline comes while its instance is put back.
        let _in_time = tokio::time::timeout_at(deadline, guest).await;
        answer.unwrap_or(Err(CallError::Wall))
    }
}
