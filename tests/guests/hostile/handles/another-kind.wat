;; Uses a timer as if it were header fields.
;; promised: 500 plugin-failed
;; counted: trap
;; logged: it trapped
;; form: http
(func $attack (drop (call $response (call $subscribe (i64.const 0)))))
