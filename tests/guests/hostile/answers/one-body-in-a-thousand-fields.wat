;; Gives four thousand header fields whose values are the same 200 KiB: for the host they would be 800 MB.
;; promised: 502 response-body
;; counted: response-body
;; logged: larger than it may be
;; form: lean
;; limits: cpu = "2s"
(data (i32.const 40) "a")
(func $attack)
(func $answer (result i32) (local $at i32)
    (drop (memory.grow (i32.const 1)))
    (local.set $at (i32.const 1024))
    (loop $on
        (i32.store (local.get $at) (i32.const 40))
        (i32.store offset=4 (local.get $at) (i32.const 1))
        (i32.store offset=8 (local.get $at) (i32.const 0))
        (i32.store offset=12 (local.get $at) (i32.const 200000))
        (local.set $at (i32.add (local.get $at) (i32.const 16)))
        (br_if $on (i32.lt_u (local.get $at) (i32.const 65024))))
    (i32.store16 (i32.const 4) (i32.const 200))
    (i32.store (i32.const 8) (i32.const 1024))
    (i32.store (i32.const 12) (i32.const 4000))
    (i32.const 0))
