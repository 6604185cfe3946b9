// Package wasihttp connects net/http to wasi:http 0.2: Serve answers the host's requests with an
// http.Handler, and Transport asks others through the host.
//
// The host runs one request at a time in an instance, so nothing here takes a lock.
package wasihttp

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

var handler http.Handler = http.NotFoundHandler()

// Serve sets the handler of all requests. Call it from an init function.
func Serve(h http.Handler) { handler = h }

//go:wasmexport wasi:http/incoming-handler@0.2.0#handle
func handle(incoming, out uint32) {
	defer incomingRequestDrop(incoming)
	w := &responseWriter{out: out, header: http.Header{}}
	request, err := readRequest(incoming)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		w.finish()
		return
	}
	defer request.Body.Close()
	defer func() {
		switch failure := recover(); failure {
		case nil:
			w.finish()
		case http.ErrAbortHandler:
			w.abort()
		default:
			panic(failure)
		}
	}()
	handler.ServeHTTP(w, request)
}

func readRequest(incoming uint32) (*http.Request, error) {
	body := consume(incoming, incomingRequestConsume)
	request, err := http.NewRequest(readMethod(incoming), readOptional(incoming, incomingRequestPathWithQuery), body)
	if err != nil {
		body.Close()
		return nil, err
	}
	request.RequestURI = request.URL.RequestURI()
	request.Host = readOptional(incoming, incomingRequestAuthority)
	request.Header = readFields(incomingRequestHeaders(incoming))
	request.ContentLength = contentLength(request.Header)
	return request, nil
}

func contentLength(header http.Header) int64 {
	length, err := strconv.ParseInt(header.Get("Content-Length"), 10, 64)
	if err != nil {
		return -1
	}
	return length
}

// A responseWriter sends the head at the first Write and every Write at once.
type responseWriter struct {
	out    uint32
	header http.Header
	body   *outgoingBody // nil until the head is sent
}

func (w *responseWriter) Header() http.Header { return w.header }

func (w *responseWriter) Flush() {}

func (w *responseWriter) WriteHeader(status int) {
	if w.body != nil {
		return
	}
	response := newOutgoingResponse(makeFields(w.header))
	outgoingResponseSetStatusCode(response, uint32(status))
	outgoingResponseBody(response, &result)
	w.body = openBody(u32(4))
	responseOutparamSet(w.out, 0, response, 0, 0, 0, 0, 0, 0)
}

func (w *responseWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// finish ends the body, with the trailers whose names the handler gave in the header Trailer.
func (w *responseWriter) finish() {
	w.WriteHeader(http.StatusOK)
	trailers := http.Header{}
	for _, list := range w.header.Values("Trailer") {
		for name := range strings.SplitSeq(list, ",") {
			name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
			if values := w.header.Values(name); len(values) > 0 {
				trailers[name] = values
			}
		}
	}
	w.body.finish(trailers)
}

// abort breaks an answer off; where none has begun, the host answers with an error.
func (w *responseWriter) abort() {
	if w.body != nil {
		w.body.abort()
	}
}
