;; Offers the same room for every part of its request.
;; promised: 200
;; counted: ok
;; form: lean
(func $realloc (param i32 i32 i32 i32) (result i32) (i32.const 1024))
(func $attack)
