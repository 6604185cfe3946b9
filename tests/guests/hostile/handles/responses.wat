;; Makes answers, takes the body of each, and keeps them all.
;; promised: 500 plugin-failed
;; counted: handles
;; logged: it trapped
;; limits: cpu = "2s"
;; form: http
(func $attack
    (loop $on
        (call $body (call $response (call $fields)) (i32.const 64))
        (br $on)))
