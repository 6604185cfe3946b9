;; Returns without having answered.
;; promised: 500 plugin-failed
;; counted: error
;; logged: it returned without setting a response
;; form: http
(func $attack)
(func $handle (param $request i32) (param $out i32) (nop))
