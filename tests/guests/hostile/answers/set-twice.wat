;; Answers twice with the same outparam, and neither body is finished.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
;; form: http
(func $attack)
(func $set-one (param $out i32) (local $response i32)
    (local.set $response (call $response (call $fields)))
    (call $body (local.get $response) (i32.const 64))
    (call $set (local.get $out) (i32.const 0) (local.get $response) (i32.const 0) (i64.const 0)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
(func $handle (param $request i32) (param $out i32)
    (call $set-one (local.get $out))
    (call $set-one (local.get $out)))
