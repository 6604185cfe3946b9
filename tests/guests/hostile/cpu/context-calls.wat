;; Asks for its request's id, without pause: each time the host copies it into the guest.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
;; form: lean
(func $attack (loop $on (call $request-id (i32.const 64)) (br $on)))
