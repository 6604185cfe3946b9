// This file is the imports, in the form that the Canonical ABI gives them: a handle is a number, a string is
// passed as address and length, and what does not fit in a register comes back through an area.

package wasihttp

//go:wasmimport wasi:http/types@0.2.0 [constructor]fields
func newFields() uint32

//go:wasmimport wasi:http/types@0.2.0 [method]fields.append
func fieldsAppend(fields uint32, name, value string, result *area)

//go:wasmimport wasi:http/types@0.2.0 [method]fields.entries
func fieldsEntries(fields uint32, result *area)

//go:wasmimport wasi:http/types@0.2.0 [resource-drop]fields
func fieldsDrop(fields uint32)

//go:wasmimport wasi:http/types@0.2.0 [method]incoming-request.method
func incomingRequestMethod(request uint32, result *area)

//go:wasmimport wasi:http/types@0.2.0 [method]incoming-request.path-with-query
func incomingRequestPathWithQuery(request uint32, result *area)

//go:wasmimport wasi:http/types@0.2.0 [method]incoming-request.authority
func incomingRequestAuthority(request uint32, result *area)

//go:wasmimport wasi:http/types@0.2.0 [method]incoming-request.headers
func incomingRequestHeaders(request uint32) uint32

//go:wasmimport wasi:http/types@0.2.0 [method]incoming-request.consume
func incomingRequestConsume(request uint32, result *area)

//go:wasmimport wasi:http/types@0.2.0 [resource-drop]incoming-request
func incomingRequestDrop(request uint32)

//go:wasmimport wasi:http/types@0.2.0 [method]incoming-body.stream
func incomingBodyStream(body uint32, result *area)

//go:wasmimport wasi:http/types@0.2.0 [resource-drop]incoming-body
func incomingBodyDrop(body uint32)

//go:wasmimport wasi:http/types@0.2.0 [constructor]outgoing-response
func newOutgoingResponse(fields uint32) uint32

//go:wasmimport wasi:http/types@0.2.0 [method]outgoing-response.set-status-code
func outgoingResponseSetStatusCode(response, status uint32) uint32

//go:wasmimport wasi:http/types@0.2.0 [method]outgoing-response.body
func outgoingResponseBody(response uint32, result *area)

//go:wasmimport wasi:http/types@0.2.0 [static]response-outparam.set
func responseOutparamSet(out, isErr, response, a uint32, b uint64, c, d, e, f uint32)

//go:wasmimport wasi:http/types@0.2.0 [method]outgoing-body.write
func outgoingBodyWrite(body uint32, result *area)

//go:wasmimport wasi:http/types@0.2.0 [static]outgoing-body.finish
func outgoingBodyFinish(body, hasTrailers, trailers uint32, result *area)

//go:wasmimport wasi:http/types@0.2.0 [resource-drop]outgoing-body
func outgoingBodyDrop(body uint32)

//go:wasmimport wasi:http/types@0.2.0 [constructor]outgoing-request
func newOutgoingRequest(fields uint32) uint32

//go:wasmimport wasi:http/types@0.2.0 [method]outgoing-request.set-method
func outgoingRequestSetMethod(request, method uint32, other string) uint32

//go:wasmimport wasi:http/types@0.2.0 [method]outgoing-request.set-scheme
func outgoingRequestSetScheme(request, isSome, scheme uint32, other string) uint32

//go:wasmimport wasi:http/types@0.2.0 [method]outgoing-request.set-authority
func outgoingRequestSetAuthority(request, isSome uint32, authority string) uint32

//go:wasmimport wasi:http/types@0.2.0 [method]outgoing-request.set-path-with-query
func outgoingRequestSetPathWithQuery(request, isSome uint32, path string) uint32

//go:wasmimport wasi:http/types@0.2.0 [method]outgoing-request.body
func outgoingRequestBody(request uint32, result *area)

//go:wasmimport wasi:http/types@0.2.0 [method]future-incoming-response.subscribe
func futureIncomingResponseSubscribe(future uint32) uint32

//go:wasmimport wasi:http/types@0.2.0 [method]future-incoming-response.get
func futureIncomingResponseGet(future uint32, result *area)

//go:wasmimport wasi:http/types@0.2.0 [resource-drop]future-incoming-response
func futureIncomingResponseDrop(future uint32)

//go:wasmimport wasi:http/types@0.2.0 [method]incoming-response.status
func incomingResponseStatus(response uint32) uint32

//go:wasmimport wasi:http/types@0.2.0 [method]incoming-response.headers
func incomingResponseHeaders(response uint32) uint32

//go:wasmimport wasi:http/types@0.2.0 [method]incoming-response.consume
func incomingResponseConsume(response uint32, result *area)

//go:wasmimport wasi:http/types@0.2.0 [resource-drop]incoming-response
func incomingResponseDrop(response uint32)

//go:wasmimport wasi:http/outgoing-handler@0.2.0 handle
func outgoingHandlerHandle(request, hasOptions, options uint32, result *area)

//go:wasmimport wasi:io/streams@0.2.0 [method]input-stream.blocking-read
func blockingRead(stream uint32, length uint64, result *area)

//go:wasmimport wasi:io/streams@0.2.0 [resource-drop]input-stream
func inputStreamDrop(stream uint32)

//go:wasmimport wasi:io/streams@0.2.0 [method]output-stream.blocking-write-and-flush
func blockingWriteAndFlush(stream uint32, data *byte, length uint32, result *area)

//go:wasmimport wasi:io/streams@0.2.0 [resource-drop]output-stream
func outputStreamDrop(stream uint32)

//go:wasmimport wasi:io/error@0.2.0 [method]error.to-debug-string
func errorToDebugString(err uint32, result *area)

//go:wasmimport wasi:io/error@0.2.0 [resource-drop]error
func errorDrop(err uint32)

//go:wasmimport wasi:io/poll@0.2.0 [method]pollable.block
func pollableBlock(pollable uint32)

//go:wasmimport wasi:io/poll@0.2.0 [resource-drop]pollable
func pollableDrop(pollable uint32)
