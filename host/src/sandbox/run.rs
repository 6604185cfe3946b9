//! The calls of plugs whose messages are whole: instance, deadline, end. Those whose bodies are streams are
//! `streaming.rs`'s.
//!
//! The wall deadline stands outside the guest's future and drops it, store and all, so it holds in a
//! start function and in post-return too. The CPU limit is looked at on every tick of the epoch.

use super::call::Call;
use super::call_error::{CallError, Called, Stop};
use super::engine::Sandbox;
use super::instances::{Instance, Instances};
use super::message::{HeaderChange, Request, RequestHead, Response, ResponseHead, Verdict};
use super::meter::Metered;

impl Sandbox {
    /// Calls a handler.
    pub async fn handle(&self, instances: &Instances, call: Call, request: Request) -> Called<Response> {
        self.run(instances, call, async move |instance| {
            let (store, plug) = instance.handler().await?;
            let answer = plug.jackfield_plugin_handler().call_handle(&mut *store, &request).await;
            answer.map_err(Stop::Run)?.map_err(Stop::Returned)
        })
        .await
    }

    /// Calls a request filter.
    pub async fn on_request(
        &self,
        instances: &Instances,
        call: Call,
        request: &RequestHead,
    ) -> Called<Verdict> {
        self.run(instances, call, async move |instance| {
            let (store, plug) = instance.request_filter().await?;
            let filter = plug.jackfield_plugin_request_filter();
            filter.call_on_request(&mut *store, request).await.map_err(Stop::Run)
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
    ) -> Called<Vec<HeaderChange>> {
        self.run(instances, call, async move |instance| {
            let (store, plug) = instance.response_filter().await?;
            let filter = plug.jackfield_plugin_response_filter();
            let changes = filter.call_on_response(&mut *store, request, response).await;
            changes.map_err(Stop::Run)?.map_err(Stop::Returned)
        })
        .await
    }

    async fn run<T>(
        &self,
        instances: &Instances,
        call: Call,
        guest: impl AsyncFnOnce(&mut Instance) -> Result<T, Stop>,
    ) -> Called<T> {
        let limits = call.limits;
        let meter = call.meter.clone();
        let mut instance = instances.for_call(call);
        let guest = Box::pin({
            let meter = meter.clone();
            async move {
                let result = guest(&mut instance).await;
                let result = result.map_err(|stop| stop.explain(&limits, &meter, &instance.state().memory));
                if result.is_ok() {
                    instance.give_back();
                }
                result
            }
        });
        let guest = Metered::new(meter.clone(), self.activity.clone(), guest);
        let result = match tokio::time::timeout_at(limits.deadline, guest).await {
            Ok(result) => result,
            Err(_elapsed) => Err(CallError::Wall),
        };
        Called { result, cpu: meter.used() }
    }
}
