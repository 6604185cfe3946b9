;; Answers with a response whose body it never takes: there is nothing to finish.
;; promised: 200
;; counted: ok
;; form: http
(func $attack)
(func $handle (param $request i32) (param $out i32)
    (call $set (local.get $out) (i32.const 0) (call $response (call $fields)) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
