;; Answers with a result that is neither a response nor an error.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
;; form: http
(func $attack)
(func $handle (param $request i32) (param $out i32)
    (call $set (local.get $out) (i32.const 9) (i32.const 0) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
