;; Asks for all of 4 GiB in one go, and does with what it has.
;; promised: 200
;; counted: ok
(func $attack
    (if (i32.ne (memory.grow (i32.const 65532)) (i32.const -1)) (then (global.set $status (i32.const 299)))))
