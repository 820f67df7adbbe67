# Declares csrc/hdl.h for _cpu.pyx and _cuda.pyx, which include it.

cdef extern from "hdl.h" nogil:
    ctypedef int hdl_status
    ctypedef int hdl_isa
    int HDL_OK, HDL_EINVAL, HDL_ENOMEM, HDL_ENONFINITE, HDL_EINTERRUPT, HDL_EISA, HDL_ESYS
    int HDL_F32, HDL_U8, HDL_CSR, HDL_MIXED, HDL_NUMBERS, HDL_CLASS, HDL_TARGET
    int HDL_NUMBER_F32, HDL_NUMBER_U8, HDL_NUMBER_F64, HDL_NUMBER_I32, HDL_NUMBER_I64

    ctypedef struct hdl_net:
        int32_t layers
        const int32_t *widths
        int32_t activation, loss
        float leak, dropout_input, dropout_hidden, loss_parameter, label_smoothing
        int32_t tables, numbers
        const int32_t *levels
        const int32_t *vector
        const float *rates
        int32_t precision

    ctypedef struct hdl_update:
        int32_t rule
        const float *lr
        float l1, l2, max_norm, momentum, beta1, beta2, rho, epsilon
        int64_t first_step
        float weight_decay, l2_sp

    ctypedef struct hdl_strided:
        const void *at
        int32_t type
        int64_t n, I
        ptrdiff_t row, column

    ctypedef struct hdl_data:
        int32_t x_type, y_type
        int64_t n
        const void *x
        const int64_t *indptr
        const int32_t *indices
        const float *scale
        const float *shift
        const void *y
        const float *weight
        const float *offset
        int32_t numbers, categories
        const int32_t *codes
        int32_t parts
        const hdl_strided *part

    ctypedef struct hdl_key:
        uint64_t seed
        uint32_t round, shard

    ctypedef int (*hdl_progress)(void *context, int64_t steps_done, int64_t steps) noexcept nogil

    ctypedef struct hdl_result:
        double cost, correct, weight
        int64_t samples, steps

    ctypedef struct hdl_plan:
        pass

    const char *hdl_last_error()
    hdl_isa hdl_best_isa()
    const char *hdl_isa_name(hdl_isa)
    hdl_status hdl_plan_new(hdl_plan **, const hdl_net *, int32_t, int32_t, hdl_isa)
    void hdl_plan_free(hdl_plan *)
    const char *hdl_bf16_way(hdl_isa)
    hdl_isa hdl_plan_isa(const hdl_plan *)
    hdl_status hdl_plan_threads(hdl_plan *, int32_t)
    int32_t hdl_plan_working(const hdl_plan *)
    int32_t hdl_state_vectors(int32_t)
    const char *hdl_rule_name(int32_t)
    const char *hdl_activation_name(int32_t)
    const char *hdl_loss_name(int32_t)
    hdl_status hdl_train(hdl_plan *, float *, float *, const hdl_data *, const int64_t *, int64_t, int64_t,
                         const hdl_update *, hdl_key, hdl_progress, void *, hdl_result *)
    hdl_status hdl_gradient(hdl_plan *, const float *, const hdl_data *, const int64_t *, int64_t, hdl_key, float *,
                            hdl_progress, void *, hdl_result *)
    hdl_status hdl_forward(hdl_plan *, const float *, const hdl_data *, const int64_t *, int64_t, float *,
                           hdl_progress, void *, hdl_result *)
    void hdl_random_u32(uint64_t, uint32_t, uint32_t, uint32_t, uint64_t, int64_t, uint32_t *)
    int32_t hdl_rows(const hdl_strided *, int32_t, float *)
    hdl_status hdl_join(int32_t, const float *const *, int32_t, const int32_t *, const float *, int64_t, float *)
    ctypedef struct hdl_lines:
        char delimiter
        int32_t width, columns
        const int32_t *to
        double limit

    int64_t hdl_decimals(const char *, int64_t, const hdl_lines *, int64_t, double *, int32_t *, char *)
    ctypedef struct hdl_pair_lines:
        int32_t labelled
        int64_t largest_index
        double largest_label, limit

    int64_t hdl_pairs(const char *, int64_t, const hdl_pair_lines *, int64_t, int64_t, double *, int64_t *, int32_t *,
                      double *)
    ctypedef struct hdl_caches:
        size_t l1, l2

    hdl_caches hdl_find_caches()
    void hdl_set_caches(size_t l1, size_t l2)
    double hdl_peak_gflops(int32_t threads, hdl_isa isa)
