// This file turns methods, headers and bodies into Go's, and back.

package wasihttp

import (
	"errors"
	"io"
	"net/http"
)

// In the order of the WIT; whatever comes after them is "other", with its name.
var methods = []string{"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"}

func readMethod(incoming uint32) string {
	expect()
	incomingRequestMethod(incoming, &result)
	if tag := int(u8(0)); tag < len(methods) {
		return methods[tag]
	}
	return string(list(4))
}

func readOptional(incoming uint32, get func(uint32, *area)) string {
	expect()
	get(incoming, &result)
	if u8(0) == 0 {
		return ""
	}
	return string(list(4))
}

// readFields reads all headers, and gives the handle back.
func readFields(fields uint32) http.Header {
	expect()
	fieldsEntries(fields, &result)
	header := http.Header{}
	for _, entry := range pairs(0) {
		header.Add(entry[0], entry[1])
	}
	fieldsDrop(fields)
	return header
}

// makeFields leaves out what the host does not let plugins set.
func makeFields(header http.Header) uint32 {
	fields := newFields()
	for name, values := range header {
		for _, value := range values {
			fieldsAppend(fields, name, value, &result)
		}
	}
	return fields
}

// An outgoingBody sends every Write at once.
type outgoingBody struct{ body, stream uint32 }

func openBody(body uint32) *outgoingBody {
	outgoingBodyWrite(body, &result)
	return &outgoingBody{body: body, stream: u32(4)}
}

// Write cuts into pieces of the 4096 bytes that the interface takes in one call.
func (b *outgoingBody) Write(p []byte) (int, error) {
	for written := 0; written < len(p); {
		piece := p[written:min(len(p), written+4096)]
		blockingWriteAndFlush(b.stream, &piece[0], uint32(len(piece)), &result)
		if u8(0) != 0 {
			return written, streamError()
		}
		written += len(piece)
	}
	return len(p), nil
}

func (b *outgoingBody) finish(trailers http.Header) error {
	outputStreamDrop(b.stream)
	if len(trailers) > 0 {
		outgoingBodyFinish(b.body, 1, makeFields(trailers), &result)
	} else {
		outgoingBodyFinish(b.body, 0, 0, &result)
	}
	if u8(0) != 0 {
		return ErrorCode(u8(8))
	}
	return nil
}

// abort leaves the body without its end, which the host passes on as a broken message.
func (b *outgoingBody) abort() {
	outputStreamDrop(b.stream)
	outgoingBodyDrop(b.body)
}

// streamError reads the stream-error of the call before; io.EOF stands for "closed".
func streamError() error {
	if u8(4) != 0 {
		return io.EOF
	}
	cause := u32(8)
	expect()
	errorToDebugString(cause, &result)
	err := errors.New(string(list(0)))
	errorDrop(cause)
	return err
}

// An incomingBody is read piece by piece as it arrives.
type incomingBody struct {
	body   uint32
	stream uint32
	closed bool
}

func consume(message uint32, take func(uint32, *area)) *incomingBody {
	take(message, &result)
	body := u32(4)
	incomingBodyStream(body, &result)
	return &incomingBody{body: body, stream: u32(4)}
}

func (b *incomingBody) Read(p []byte) (int, error) {
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	if len(p) == 0 {
		return 0, nil
	}
	expect()
	blockingRead(b.stream, uint64(min(len(p), 16<<10)), &result)
	if u8(0) != 0 {
		return 0, streamError()
	}
	return copy(p, list(4)), nil
}

func (b *incomingBody) Close() error {
	if !b.closed {
		b.closed = true
		inputStreamDrop(b.stream)
		incomingBodyDrop(b.body)
	}
	return nil
}
