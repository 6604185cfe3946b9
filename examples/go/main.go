// A tour of an HTTP plugin: plain net/http handlers, served through wasi:http.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"hello/wasihttp"
)

// The host loads the component, runs every init, and then calls the handler: main is never run.
func init() {
	mux := http.NewServeMux()
	mux.HandleFunc("/", notFound)
	mux.HandleFunc("/{$}", only("GET", home))
	mux.HandleFunc("/json", only("POST", greet))
	mux.HandleFunc("/stream", only("GET", stream))
	mux.HandleFunc("/echo", only("POST", echo))
	mux.HandleFunc("/fetch", only("GET", fetch))
	mux.HandleFunc("/trailers", only("GET", trailers))
	wasihttp.Serve(mux)
}

func main() {}

func home(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	fmt.Fprintln(w, "Hello from Go!")
}

func greet(w http.ResponseWriter, r *http.Request) {
	var visitor struct{ Name *string }
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 4<<10))
	if err == nil {
		err = json.Unmarshal(body, &visitor)
	}
	if err == nil && visitor.Name == nil {
		err = errors.New(`the field "name" is missing`)
	}
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
		return
	}
	json.NewEncoder(w).Encode(map[string]string{"greeting": "Hello, " + *visitor.Name + "!"})
}

// Every Write goes to the caller at once: there is nothing to flush.
func stream(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	for event := 1; event <= 5; event++ {
		if event > 1 {
			time.Sleep(50 * time.Millisecond)
		}
		fmt.Fprintf(w, "data: %d\n\n", event)
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	if kind := r.Header.Get("Content-Type"); kind != "" {
		w.Header().Set("Content-Type", kind)
	}
	forward(w, r.Body)
}

func fetch(w http.ResponseWriter, r *http.Request) {
	request, err := http.NewRequest("GET", r.FormValue("url"), nil)
	if err != nil || request.URL.Host == "" {
		http.Error(w, "ask for /fetch?url=http://…", http.StatusBadRequest)
		return
	}
	response, err := wasihttp.Transport{}.RoundTrip(request)
	if err != nil {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusBadGateway)
		fmt.Fprint(w, err)
		return
	}
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); kind != "" {
		w.Header().Set("Content-Type", kind)
	}
	w.WriteHeader(response.StatusCode)
	forward(w, response.Body)
}

func trailers(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Trailer", "X-Sum")
	fmt.Fprintln(w, "trailing")
	w.Header().Set("X-Sum", "42")
}

// forward copies a body as it comes. The head is on its way by then, so all that a failure can still do
// is to break the answer off: no caller then takes a part of it for the whole.
func forward(w io.Writer, body io.Reader) {
	if _, err := io.Copy(w, body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func notFound(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain")
	w.WriteHeader(http.StatusNotFound)
	fmt.Fprintln(w, "not found")
}

func only(method string, handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			w.Header().Set("Allow", method)
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		handler(w, r)
	}
}
