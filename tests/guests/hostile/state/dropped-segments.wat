;; Drops a data segment, and answers 299 if an earlier call's drop is still felt.
;; promised: 200
;; counted: ok
;; calls: 20
(data $words "here")
(func $attack
    (memory.init $words (i32.const 1024) (i32.const 0) (i32.const 4))
    (if (i32.ne (i32.load (i32.const 1024)) (i32.const 0x65726568)) (then (global.set $status (i32.const 299))))
    (data.drop $words))
