;; Answers with a response whose body it takes, and neither writes nor finishes.
;; promised: 502 plugin-answer
;; counted: answer
;; logged: it did not finish its answer's body
;; form: http
(func $attack)
(func $handle (param $request i32) (param $out i32) (local $response i32)
    (local.set $response (call $response (call $fields)))
    (call $body (local.get $response) (i32.const 64))
    (call $set (local.get $out) (i32.const 0) (local.get $response) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
