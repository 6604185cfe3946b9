;; Answers with an error code that does not exist.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
;; form: http
(func $attack)
(func $handle (param $request i32) (param $out i32)
    (call $set (local.get $out) (i32.const 1) (i32.const 200) (i32.const 0) (i64.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
