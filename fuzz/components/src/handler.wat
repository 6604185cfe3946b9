;; A handler whose work a random core module does. The second core module's place is its: `guest` here is only its shape.
(component
    (import "jackfield:plugin/types@0.1.0" (instance $types
        (type $header-is (tuple string (list u8)))
        (export "header" (type $header (eq $header-is)))
        (type $request-head-is (record (field "method" string) (field "path" string)
            (field "query" (option string)) (field "headers" (list $header))))
        (export "request-head" (type $request-head (eq $request-head-is)))
        (type $request-is (record (field "head" $request-head) (field "body" (list u8))))
        (export "request" (type $request (eq $request-is)))
        (type $response-head-is (record (field "status" u16) (field "headers" (list $header))))
        (export "response-head" (type $response-head (eq $response-head-is)))
        (type $response-is (record (field "head" $response-head) (field "body" (list u8))))
        (export "response" (type $response (eq $response-is)))))
    (alias export $types "request" (type $request))
    (alias export $types "response" (type $response))
    (import "jackfield:plugin/context@0.1.0" (instance $context
        (export "request-id" (func (result string)))
        (export "capture" (func (param "name" string) (result (option string))))))
    (import "wasi:random/random@0.2.0" (instance $random
        (export "get-random-bytes" (func (param "len" u64) (result (list u8))))
        (export "get-random-u64" (func (result u64)))))
    (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock (export "now" (func (result u64)))))

    (core module $store
        (memory (export "memory") 2 64)
        (global $next (mut i32) (i32.const 65536))
        ;; Takes from the second page, and when that is full from its beginning again.
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
            (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
            (if (i32.gt_u (i32.add (local.get $at) (local.get 3)) (i32.const 131072))
                (then (local.set $at (i32.const 65536))))
            (global.set $next (i32.add (local.get $at) (local.get 3)))
            (local.get $at)))
    (core module $guest
        (import "store" "memory" (memory 2 64))
        (import "host" "request-id" (func (param i32)))
        (import "host" "capture" (func (param i32 i32 i32)))
        (import "host" "bytes" (func (param i64 i32)))
        (import "host" "number" (func (result i64)))
        (import "host" "now" (func (result i64)))
        (func (export "run") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32) unreachable))
    (core module $shell
        (import "guest" "run"
            (func $run (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
        ;; Whatever comes of it is an address that may hold an answer.
        (func (export "handle") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
            (i32.and (i32.const 0xfffc) (call $run
                (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5)
                (local.get 6) (local.get 7) (local.get 8) (local.get 9) (local.get 10)))))

    (core instance $store (instantiate $store))
    (core func $request-id (canon lower (func $context "request-id")
        (memory (core memory $store "memory")) (realloc (core func $store "realloc"))))
    (core func $capture (canon lower (func $context "capture")
        (memory (core memory $store "memory")) (realloc (core func $store "realloc"))))
    (core func $bytes (canon lower (func $random "get-random-bytes")
        (memory (core memory $store "memory")) (realloc (core func $store "realloc"))))
    (core func $number (canon lower (func $random "get-random-u64")))
    (core func $now (canon lower (func $clock "now")))
    (core instance $host
        (export "request-id" (func $request-id)) (export "capture" (func $capture))
        (export "bytes" (func $bytes)) (export "number" (func $number)) (export "now" (func $now)))
    (core instance $guest (instantiate $guest
        (with "store" (instance $store)) (with "host" (instance $host))))
    (core instance $shell (instantiate $shell (with "guest" (instance $guest))))
    (func $handle (param "request" $request) (result (result $response (error string)))
        (canon lift (core func $shell "handle")
            (memory (core memory $store "memory")) (realloc (core func $store "realloc"))))
    (instance $handler (export "handle" (func $handle)))
    (export "jackfield:plugin/handler@0.1.0" (instance $handler)))
