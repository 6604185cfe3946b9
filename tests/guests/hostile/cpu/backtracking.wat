;; Matches `(aa?)*b` against sixty times `a`, as a careless regular expression does: 2^40 ways.
;; promised: 504 cpu
;; counted: cpu
;; logged: it used more CPU than its limit of 10ms
(func $matches (param $at i32) (result i32)
    (if (i32.ge_u (local.get $at) (i32.const 60)) (then (return (i32.const 0))))
    (if (call $matches (i32.add (local.get $at) (i32.const 1))) (then (return (i32.const 1))))
    (call $matches (i32.add (local.get $at) (i32.const 2))))
(func $attack (drop (call $matches (i32.const 0))))
