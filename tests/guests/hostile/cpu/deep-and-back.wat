;; Goes five thousand calls deep and comes back, over and over, without a loop's back edge on the way down.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $deeper (param i32) (result i32)
    (if (result i32) (local.get 0)
        (then (i32.add (i32.const 1) (call $deeper (i32.sub (local.get 0) (i32.const 1)))))
        (else (i32.const 0))))
(func $attack (loop $on (drop (call $deeper (i32.const 5000))) (br $on)))
