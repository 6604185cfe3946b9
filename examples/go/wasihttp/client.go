// This file is the way out: requests to other servers.

package wasihttp

import (
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Transport sends requests through the host's wasi:http/outgoing-handler. Its errors are ErrorCodes. It may
// stand in an http.Client, which also follows redirects, but links all of Go's own client and TLS: 5 MB.
type Transport struct{}

// RoundTrip sends the request, its body too, and waits for the response's head.
func (Transport) RoundTrip(request *http.Request) (*http.Response, error) {
	outgoing := makeRequest(request)
	var body *outgoingBody
	if request.Body != nil {
		defer request.Body.Close()
		outgoingRequestBody(outgoing, &result)
		body = openBody(u32(4))
	}
	outgoingHandlerHandle(outgoing, 0, 0, &result)
	if u8(0) != 0 {
		code := ErrorCode(u8(8))
		if body != nil {
			body.abort()
		}
		return nil, code
	}
	future := u32(8)
	defer futureIncomingResponseDrop(future)
	if body != nil {
		if _, err := io.Copy(body, request.Body); err != nil {
			body.abort()
			return nil, err
		}
		if err := body.finish(nil); err != nil {
			return nil, err
		}
	}
	return await(future, request)
}

func makeRequest(request *http.Request) uint32 {
	header := request.Header.Clone()
	if request.ContentLength > 0 {
		if header == nil {
			header = http.Header{}
		}
		header.Set("Content-Length", strconv.FormatInt(request.ContentLength, 10))
	}
	outgoing := newOutgoingRequest(makeFields(header))
	setMethod(outgoing, request.Method)
	schemes := map[string]uint32{"http": 0, "https": 1}
	scheme, known := schemes[request.URL.Scheme]
	if !known {
		scheme = 2
	}
	outgoingRequestSetScheme(outgoing, 1, scheme, request.URL.Scheme)
	outgoingRequestSetAuthority(outgoing, 1, request.URL.Host)
	outgoingRequestSetPathWithQuery(outgoing, 1, request.URL.RequestURI())
	return outgoing
}

func await(future uint32, request *http.Request) (*http.Response, error) {
	ready := futureIncomingResponseSubscribe(future)
	pollableBlock(ready)
	pollableDrop(ready)
	futureIncomingResponseGet(future, &result)
	if u8(16) != 0 {
		return nil, ErrorCode(u8(24))
	}
	incoming := u32(24)
	header := readFields(incomingResponseHeaders(incoming))
	status := int(incomingResponseStatus(incoming))
	response := &http.Response{
		Status:        http.StatusText(status),
		StatusCode:    status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		Body:          consume(incoming, incomingResponseConsume),
		ContentLength: contentLength(header),
		Request:       request,
	}
	incomingResponseDrop(incoming)
	return response, nil
}

func setMethod(outgoing uint32, method string) {
	for number, name := range methods {
		if name == method {
			outgoingRequestSetMethod(outgoing, uint32(number), "")
			return
		}
	}
	outgoingRequestSetMethod(outgoing, uint32(len(methods)), method)
}

// An ErrorCode is a wasi:http error-code: why the host could not do what was asked.
type ErrorCode uint8

func (code ErrorCode) Error() string {
	names := strings.Fields(errorCodes)
	if int(code) < len(names) {
		return names[code]
	}
	return "internal-error"
}

// In the order of the WIT.
const errorCodes = `
	DNS-timeout DNS-error destination-not-found destination-unavailable destination-IP-prohibited
	destination-IP-unroutable connection-refused connection-terminated connection-timeout
	connection-read-timeout connection-write-timeout connection-limit-reached TLS-protocol-error
	TLS-certificate-error TLS-alert-received HTTP-request-denied HTTP-request-length-required
	HTTP-request-body-size HTTP-request-method-invalid HTTP-request-URI-invalid HTTP-request-URI-too-long
	HTTP-request-header-section-size HTTP-request-header-size HTTP-request-trailer-section-size
	HTTP-request-trailer-size HTTP-response-incomplete HTTP-response-header-section-size
	HTTP-response-header-size HTTP-response-body-size HTTP-response-trailer-section-size
	HTTP-response-trailer-size HTTP-response-transfer-coding HTTP-response-content-coding
	HTTP-response-timeout HTTP-upgrade-failed HTTP-protocol-error loop-detected configuration-error
	internal-error`
