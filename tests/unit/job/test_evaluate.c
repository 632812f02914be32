/* An evaluation, task by task in one process, against plain loops in double over the whole volumes. */
#include "evaluate_pair.h"

static clm_evaluate_spec inputs(void) {
    static char folder[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_evaluate_spec s = CLM_EVALUATE_DEFAULTS;
    assert_ok(clm_path_join(folder, x.folder, "parts", &err), err);
    s.fixed = x.fixed, s.moving = x.moving, s.radius_vox = RADIUS, s.folder = folder;
    s.transforms[s.n_transforms++] = x.transform;
    return s;
}

/* all tasks of all stages, forwards or backwards; the caller frees */
static clm_json *evaluate(const clm_evaluate_spec *s, bool backwards) {
    clm_err err = CLM_ERR_NONE;
    clm_json *v = NULL;
    clm_evaluate *e;
    char path[CLM_PATH_MAX];
    clm_work w = clm_test_work(512);
    assert_ok(clm_evaluate_spec_to_json(s, &v, &err), err);
    assert_ok(clm_evaluate_open(v, &e, &err), err);
    assert_ok(clm_evaluate_prepare(e, &err), err);
    for (int k = 0; k < e->plan.n_stages; k++) {
        assert_ok(clm_evaluate_stage_begin(e, k, &err), err);
        for (int64_t i = 0; i < e->stage[k].n; i++) {
            const clm_task t = {.stage = k, .index = backwards ? e->stage[k].n - 1 - i : i};
            clm_outcome o;
            assert_ok(clm_evaluate_task(e, &w, &t, &o, &err), err);
        }
    }
    assert_ok(clm_evaluate_result(e, path, &err), err);
    assert_ok(clm_json_read(path, &v, &err), err);
    clm_evaluate_close(e);
    assert_ok(clm_folder_remove(s->folder, &err), err);
    clm_test_work_drop(&w);
    return v;
}

/* "images.after.ncc" */
static double figure(const clm_json *v, const char *place) {
    char key[64];
    double found = NAN;
    while (*place) {
        size_t n = strcspn(place, "/");
        assert_true(n < sizeof key);
        memcpy(key, place, n);
        key[n] = 0;
        v = clm_json_get(v, key);
        place += n + (place[n] == '/');
    }
    (void)clm_json_number(v, &found);
    return found;
}

typedef void map_fn(const double p[3], double y[3]);
static void stay(const double p[3], double y[3]) { memcpy(y, p, 3 * sizeof *y); }
static void only_affine(const double p[3], double y[3]) { clm_affine_apply(&x.affine, p, y); }
static void all_of_it(const double p[3], double y[3]) { clm_transform_point(&x.affine, &x.field, p, y); }
/* the affine, then all of it: no lattice is stored for that */
static void chain(const double p[3], double y[3]) {
    double q[3];
    clm_affine_apply(&x.affine, p, q);
    clm_transform_point(&x.affine, &x.field, q, y);
}

static void images_near(const clm_json *v, const char *row, map_fn *map) {
    static double warped[N];
    double ncc, square, local, voxels = 0;
    char key[64];
#define ROW(name) (snprintf(key, sizeof key, "images/%s/" name, row), key)
    for (int64_t i = 0; i < N; i++) {
        double p[3], y[3];
        point_of(i, p);
        map(p, y);
        warped[i] = sample(x.m, y);
        voxels += !isnan(warped[i]);
    }
    slow(warped, &ncc, &square, &local);
    assert_near(figure(v, ROW("overlap")), voxels / N, 1e-12);
    assert_near(figure(v, ROW("ncc")), ncc, 1e-6);
    assert_near(figure(v, ROW("mean_square_intensity2")) / square, 1, 1e-6);
    assert_near(figure(v, ROW("local_ncc")), local, 1e-6);
    assert_near(figure(v, ROW("mutual_information_nats")), information(warped), 1e-6);
#undef ROW
}

static void images_near_plain_loops(void **state) {
    (void)state;
    clm_evaluate_spec s = inputs();
    clm_json *v = evaluate(&s, false), *again = evaluate(&s, true);
    clm_err err = CLM_ERR_NONE;
    clm_buf a = {0}, b = {0};
    images_near(v, "before", stay);
    images_near(v, "affine", only_affine);
    images_near(v, "after", all_of_it);
    assert_ok(clm_json_print(v, false, &a, &err), err);
    assert_ok(clm_json_print(again, false, &b, &err), err);
    assert_int_equal(a.n, b.n);
    assert_memory_equal(a.data, b.data, a.n);
    clm_json_free(v);
    clm_json_free(again);
    clm_buf_free(&a);
    clm_buf_free(&b);
}

/* whole numbers only: no rounding anywhere, so the same histogram to the last count */
static void information_of_counts(void **state) {
    (void)state;
    static double shifted[N];
    char path[CLM_PATH_MAX];
    clm_affine a = CLM_AFFINE_IDENTITY;
    for (int d = 0; d < 3; d++)
        a.m[d][3] = moving_origin[d] - fixed_origin[d] + spacing[d] * (d == 2 ? 3 : 1);
    write_affine("shift.txt", &a, path);
    for (int64_t i = 0; i < N; i++) {
        int64_t z = i / (NY * NX) + 1, y = i / NX % NY + 1, c = i % NX + 3;
        shifted[i] = z < NZ && y < NY && c < NX ? x.m[(z * NY + y) * NX + c] : (double)NAN;
    }
    clm_evaluate_spec s = inputs();
    s.transforms[0] = path;
    clm_json *v = evaluate(&s, false);
    assert_near(figure(v, "images/after/mutual_information_nats"), information(shifted), 1e-9);
    clm_json_free(v);
}

/* a transform that is judged at the voxels, not at nodes of its own */
static void chains_are_judged(void **state) {
    (void)state;
    char path[CLM_PATH_MAX];
    write_affine("first.txt", &x.affine, path);
    clm_evaluate_spec s = inputs();
    s.transforms[0] = path;
    s.transforms[1] = x.transform;
    s.n_transforms = 2;
    clm_json *v = evaluate(&s, false);
    images_near(v, "after", chain);
    bool stored = true;
    assert_true(clm_json_is(clm_json_get(clm_json_get(v, "field"), "lattice_is_stored"), &stored) && !stored);
    /* the lattice stands over the fixed grid, as fine as the field */
    double sum = 0, n = 0, most = 0;
    for (int64_t k = 0; k < 3; k++)
        for (int64_t j = 0; j < 3; j++)
            for (int64_t i = 0; i < 78; i++, n++) {
                const int64_t at[3] = {k, j, i};
                double p[3], y[3], e2 = 0;
                for (int d = 0; d < 3; d++) p[d] = fixed_origin[d] + (double)at[d] * x.field.spacing[d];
                chain(p, y);
                for (int d = 0; d < 3; d++) e2 += (y[d] - p[d]) * (y[d] - p[d]);
                sum += sqrt(e2), most = fmax(most, sqrt(e2));
            }
    assert_near(figure(v, "field/displacement/mean_um"), sum / n, 1e-6);
    assert_near(figure(v, "field/displacement/max_um"), most, 1e-6);
    clm_json_free(v);
}

/* ---- maps ---- */

static int64_t read_map(const clm_evaluate_spec *s, const char *name, float **out) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    clm_array *a;
    int64_t n = 1;
    assert_ok(clm_path_format(path, &err, "%s/%s.ome.zarr/s0", s->maps, name), err);
    assert_ok(clm_array_open(path, &a, &err), err);
    const clm_array_info *i = clm_array_info_of(a);
    for (int d = 0; d < 3; d++) n *= i->shape[d];
    *out = clm_take(x.w.keep, float, n, &err);
    assert_non_null(*out);
    assert_ok(clm_array_read(a, (const int64_t[3]){0, 0, 0}, i->shape, *out, &err), err);
    clm_array_close(a);
    return n;
}

static double mean_of(const float *v, int64_t n, double *count) {
    double sum = 0;
    *count = 0;
    for (int64_t i = 0; i < n; i++)
        if (!isnan(v[i])) sum += (double)v[i], *count += 1;
    return sum / *count;
}

static void maps_have_the_means(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    float *map;
    double n;
    clm_mark mark = clm_arena_mark(x.w.keep);
    assert_ok(clm_path_join(path, x.folder, "maps", &err), err);
    clm_evaluate_spec s = inputs();
    s.maps = path;
    clm_json *v = evaluate(&s, false);
    const char *rows[2] = {"before", "after"};
    for (int k = 0; k < 2; k++) {
        char name[64], key[64];
        (void)snprintf(name, sizeof name, "local_ncc_%s", rows[k]);
        int64_t all = read_map(&s, name, &map);
        assert_int_equal(all, N);
        double mean = mean_of(map, all, &n);
        (void)snprintf(key, sizeof key, "images/%s/local_ncc", rows[k]);
        assert_near(mean, figure(v, key), 1e-6);
        (void)snprintf(key, sizeof key, "images/%s/local_ncc_windows", rows[k]);
        assert_near(n, figure(v, key), 0);
    }
    assert_int_equal(read_map(&s, "jacobian", &map), 4 * 5 * 80);
    assert_near(mean_of(map, 4 * 5 * 80, &n), figure(v, "field/jacobian/mean"), 1e-6);
    for (int64_t i = 0; i < 4 * 5 * 80; i++) {
        double p[3];
        const int64_t at[3] = {i / 400, i / 80 % 5, i % 80};
        for (int d = 0; d < 3; d++) p[d] = fixed_origin[d] + ((double)at[d] + 0.5) * x.field.spacing[d];
        assert_near(map[i], clm_jacobian_at(&x.affine, &x.field, p), 2e-6);
    }
    assert_int_equal(read_map(&s, "displacement", &map), clm_field_count(&x.field));
    assert_near(mean_of(map, clm_field_count(&x.field), &n),
                figure(v, "field/displacement_beside_affine/mean_um"), 1e-6);
    assert_near(n, (double)clm_field_count(&x.field), 0);
    clm_json_free(v);
    clm_arena_rewind(x.w.keep, mark);
}

/* ---- the field ---- */

static void field_near_the_whole(void **state) {
    (void)state;
    static double length[2][5 * 6 * 81], centre[4 * 5 * 80];
    static const double part[5] = {0.5, 0.9, 0.95, 0.99, 0.999}, share[5] = {0.001, 0.01, 0.5, 0.99, 0.999};
    static const char *const name[5] = {"p50_um", "p90_um", "p95_um", "p99_um", "p99.9_um"},
                             *const of_share[5] = {"p0.1", "p1", "p50", "p99", "p99.9"};
    clm_err err = CLM_ERR_NONE;
    clm_jacobian_stats whole;
    clm_seam seam = {0};
    clm_evaluate_spec s = inputs();
    s.has_block = true;
    for (int d = 0; d < 3; d++) s.block_vox[d] = d == 2 ? 64 : 1000;
    clm_json *v = evaluate(&s, false);
    /* faces between voxels 63 and 64, 127 and 128, ... of 1.25 um, in nodes of 3.2 um */
    const clm_seam_faces faces = {{0, 0, 64 * 1.25 / 3.2}, {0, 0, -0.5 * 1.25 / 3.2}};
    clm_seam_add(&x.field, (const int64_t[3]){0, 0, 0}, clm_box_of(x.field.shape), &faces, &seam);
    assert_near(figure(v, "field/seam"), clm_seam_value(&seam), 1e-9);
    assert_ok(clm_jacobian_measure(&x.w, &x.affine, &x.field, &whole, &err), err);
    assert_near(figure(v, "field/jacobian/cells"), (double)whole.cells, 0);
    assert_near(figure(v, "field/jacobian/folds"), (double)whole.folds, 0);
    assert_near(figure(v, "field/jacobian/min"), whole.min, 0);
    assert_near(figure(v, "field/jacobian/max"), whole.max, 0);
    assert_near(figure(v, "field/jacobian/mean"), whole.mean, 1e-9);
    for (int64_t i = 0; i < 4 * 5 * 80; i++) {
        double p[3];
        const int64_t at[3] = {i / 400, i / 80 % 5, i % 80};
        for (int d = 0; d < 3; d++) p[d] = fixed_origin[d] + ((double)at[d] + 0.5) * x.field.spacing[d];
        centre[i] = clm_jacobian_at(&x.affine, &x.field, p);
    }
    for (int64_t i = 0; i < clm_field_count(&x.field); i++) {
        const int64_t at[3] = {i / (6 * 81), i / 81 % 6, i % 81};
        double p[3], y[3], a = 0, b = 0;
        for (int d = 0; d < 3; d++) p[d] = x.field.origin[d] + x.field.spacing[d] * (double)at[d];
        all_of_it(p, y);
        for (int d = 0; d < 3; d++) {
            a += (y[d] - p[d]) * (y[d] - p[d]);
            b += (double)x.field.u[d][i] * (double)x.field.u[d][i];
        }
        length[0][i] = sqrt(a), length[1][i] = sqrt(b);
    }
    for (int k = 0; k < 5; k++) {
        char key[64];
        for (int of = 0; of < 2; of++) {
            (void)snprintf(key, sizeof key, "field/displacement%s/%s", of ? "_beside_affine" : "", name[k]);
            assert_near(figure(v, key), quantile(length[of], 5 * 6 * 81, part[k]), 1e-6);
        }
        (void)snprintf(key, sizeof key, "field/jacobian/%s", of_share[k]);
        assert_near(figure(v, key), quantile(centre, 4 * 5 * 80, share[k]), 2e-6);
    }
    assert_near(figure(v, "field/jacobian/centre_min"), centre[0], 2e-6);
    clm_json_free(v);
}

/* what was blended at the nodes: sums over the lattice's two blocks, the least in either */
static void coverage_near_plain_loops(void **state) {
    (void)state;
    enum { NODES = 5 * 6 * 81 };
    static float c[NODES];
    clm_evaluate_spec s = inputs();
    for (int64_t least = 3; least < 81; least += 75) {
        clm_err err = CLM_ERR_NONE;
        clm_transform t;
        double sum = 0;
        int64_t holes = 0;
        for (int64_t i = 0; i < NODES; i++) {
            c[i] = i == 81 + least ? 0.125f : i % 7 == 0 ? 0.25f : i % 5 == 0 ? 0.5f : 1.0f;
            sum += (double)c[i];
            holes += c[i] < 0.5f;
        }
        assert_ok(clm_transform_open(x.transform, true, &t, &err), err);
        assert_ok(clm_array_put_chunk(t.coverage, (const int64_t[3]){0, 0, 0}, c, &err), err);
        clm_transform_close(&t);
        clm_json *v = evaluate(&s, false);
        assert_near(figure(v, "field/coverage/mean"), sum / NODES, 1e-12);
        assert_near(figure(v, "field/coverage/min"), 0.125, 0);
        assert_near(figure(v, "field/coverage/nodes"), NODES, 0);
        assert_near(figure(v, "field/coverage/holes"), (double)holes, 0);
        clm_json_free(v);
    }
}

/* there and back through the inverse of the affine: the field's own displacement is what is missed, stretched */
static void loop_near_the_definition(void **state) {
    (void)state;
    static double missed[5 * 6 * 81];
    clm_err err = CLM_ERR_NONE;
    clm_affine back;
    clm_frame frame;
    double sum = 0, squares = 0;
    int64_t n = 0;
    clm_evaluate_spec s = inputs();
    s.inverse = x.inverse;
    clm_json *v = evaluate(&s, false);
    assert_ok(clm_affine_invert(&x.affine, &back, &err), err);
    memcpy(frame.shape, shape, sizeof frame.shape);
    memcpy(frame.spacing, spacing, sizeof frame.spacing);
    memcpy(frame.origin, moving_origin, sizeof frame.origin);
    for (int64_t i = 0; i < clm_field_count(&x.field); i++) {
        const int64_t at[3] = {i / (6 * 81), i / 81 % 6, i % 81};
        double p[3], y[3], r[3], e2 = 0;
        for (int d = 0; d < 3; d++) p[d] = x.field.origin[d] + x.field.spacing[d] * (double)at[d];
        all_of_it(p, y);
        if (!clm_frame_has(&frame, y)) continue;
        clm_affine_apply(&back, y, r);
        for (int d = 0; d < 3; d++) e2 += (r[d] - p[d]) * (r[d] - p[d]);
        sum += sqrt(e2), squares += e2, missed[n++] = sqrt(e2);
    }
    assert_near(figure(v, "inverse_consistency/points"), (double)n, 0);
    assert_near(figure(v, "inverse_consistency/mean_um"), sum / (double)n, 1e-6);
    assert_near(figure(v, "inverse_consistency/rms_um"), sqrt(squares / (double)n), 1e-6);
    assert_near(figure(v, "inverse_consistency/p95_um"), quantile(missed, n, 0.95), 1e-6);
    assert_near(figure(v, "inverse_consistency/max_um"), missed[n - 1], 1e-6);
    clm_json_free(v);
    /* solved backwards hardly anything is missed; what folds is told */
    s.inverse = "solved";
    v = evaluate(&s, false);
    assert_true(figure(v, "inverse_consistency/p50_um") < 1e-3);
    assert_true(figure(v, "inverse_consistency/not_converged") >= 0);
    clm_json_free(v);
}

/* ---- landmarks and labels ---- */

static void landmarks(const char *text, clm_landmarks *out, clm_code want) {
    clm_err err = CLM_ERR_NONE;
    char path[CLM_PATH_MAX];
    write_text("marks.csv", text, path);
    if (want == CLM_OK)
        assert_ok(clm_landmarks_read(&x.w, path, out, &err), err);
    else
        assert_fails(want, clm_landmarks_read(&x.w, path, out, &err), err);
}

static void landmarks_by_name_or_place(void **state) {
    (void)state;
    clm_landmarks a, b;
    landmarks("1,2,3,4,5,6\n7 8 9 10 11 12\r\n\n", &a, CLM_OK);
    landmarks("name,mx,my,mz,fixed_x,fixed_y,Fixed_Z (um)\n\"a\",6,5,4,3,2,1\nb,12,11,10,9,8,7\n", &b,
              CLM_OK);
    assert_int_equal(a.n, 2);
    assert_int_equal(b.n, 2);
    assert_memory_equal(a.fixed, b.fixed, sizeof(double[2][3]));
    assert_memory_equal(a.moving, b.moving, sizeof(double[2][3]));
    assert_near(a.moving[1][2], 12, 0);
    landmarks("\"Pt-0\",\"true\",\"6\",\"5\",\"4\",\"3\",\"2\",\"1\"\n"
              "Pt-1,false,Infinity,Infinity,Infinity,7,8,9\n"
              "Pt-2,true,12,11,10,9,8,7\n",
              &b, CLM_OK); /* BigWarp's */
    assert_int_equal(b.n, 2);
    assert_null(b.weight);
    assert_memory_equal(a.fixed, b.fixed, 2 * sizeof *a.fixed);
    assert_memory_equal(a.moving, b.moving, 2 * sizeof *a.moving);
    landmarks("weight,mx,my,mz,fx,fy,fz\n.5,6,5,4,3,2,1\n2,12,11,10,9,8,7\n", &b, CLM_OK);
    assert_near(b.weight[0], 0.5, 0);
    assert_near(b.weight[1], 2, 0);
    assert_memory_equal(a.fixed, b.fixed, 2 * sizeof *a.fixed);
    landmarks("weight,mx,my,mz,fx,fy,fz\nheavy,6,5,4,3,2,1\n", &b, CLM_E_FORMAT);
    landmarks("1,2,3,4,5\n", &a, CLM_E_FORMAT);
    landmarks("fz,fy,fx,mz,my\n1,2,3,4,5\n", &a, CLM_E_FORMAT);
    landmarks("# nothing\n", &a, CLM_E_NODATA);
}

static void landmark_errors(void **state) {
    (void)state;
    enum { PAIRS = 20 };
    char path[CLM_PATH_MAX], text[PAIRS * 200];
    double before[PAIRS];
    int n = 0;
    for (int i = 0; i < PAIRS; i++) {
        const double f[3] = {3 + 0.3 * i, 4 + 0.2 * i, 60 + 7 * i};
        double m[3], e2 = 0;
        all_of_it(f, m);
        m[2] += 0.5 * (i + 1);
        for (int d = 0; d < 3; d++) e2 += (f[d] - m[d]) * (f[d] - m[d]);
        before[i] = sqrt(e2);
        n += snprintf(text + n, sizeof text - (size_t)n, "%.17g %.17g %.17g %.17g %.17g %.17g\n", f[0], f[1],
                      f[2], m[0], m[1], m[2]);
    }
    write_text("pairs.txt", text, path);
    clm_evaluate_spec s = inputs();
    s.landmarks = path;
    clm_json *v = evaluate(&s, false);
    assert_near(figure(v, "landmarks/pairs"), PAIRS, 0);
    assert_near(figure(v, "landmarks/after/mean_um"), 5.25, 1e-6);
    assert_near(figure(v, "landmarks/after/p50_um"), 5, 1e-6);
    assert_near(figure(v, "landmarks/after/p90_um"), 9, 1e-6);
    assert_near(figure(v, "landmarks/after/p95_um"), 9.5, 1e-6);
    assert_near(figure(v, "landmarks/after/p99_um"), 10, 1e-6);
    assert_near(figure(v, "landmarks/after/max_um"), 10, 1e-6);
    assert_near(figure(v, "landmarks/after/max_vox"), 10 / spacing[2], 1e-6);
    assert_near(figure(v, "landmarks/before/p90_um"), quantile(before, PAIRS, 0.9), 1e-6);
    assert_true(isfinite(figure(v, "landmarks/affine/max_um")));
    clm_json_free(v);
}

/* the values of the moving image as labels, carried over voxel by voxel */
static void labels_near_plain_loops(void **state) {
    (void)state;
    static int64_t warped[N];
    clm_evaluate_spec s = inputs();
    s.fixed_labels = x.fixed;
    s.moving_labels = x.moving;
    s.surface_reach_um = 4.0;
    clm_json *v = evaluate(&s, false);
    for (int64_t i = 0; i < N; i++) {
        double p[3], y[3];
        int64_t at[3];
        bool in = true;
        point_of(i, p);
        all_of_it(p, y);
        for (int d = 0; d < 3; d++) {
            double t = (y[d] - moving_origin[d]) / spacing[d];
            in = in && t >= 0 && t <= (double)(shape[d] - 1);
            at[d] = (int64_t)floor(t + 0.5);
        }
        warped[i] = in ? (int64_t)x.m[(at[0] * NY + at[1]) * NX + at[2]] : 0;
    }
    const clm_json *after = clm_json_get(clm_json_get(v, "labels"), "after");
    int64_t off = 0, rows = 0;
    for (const clm_json *r = clm_json_first(clm_json_get(after, "each")); r; r = clm_json_next(r), rows++) {
        int64_t f = 0, m = 0, both = 0, label = (int64_t)figure(r, "label");
        for (int64_t i = 0; i < N; i++) {
            bool a = (int64_t)x.f[i] == label, b = warped[i] == label;
            f += a, m += b, both += a && b;
        }
        assert_near(figure(r, "fixed_vox"), (double)f, 0);
        off += figure(r, "moving_vox") != (double)m ||
               fabs(figure(r, "dice") - 2.0 * (double)both / (double)(f + m)) > 1e-12;
    }
    assert_near((double)rows, figure(after, "labels"), 0);
    assert_true(rows > 100 && off <= rows / 100); /* halfway between two voxels float and double may differ */
    assert_true(figure(after, "surface_mean_um") <= 4.0);
    clm_json_free(v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(images_near_plain_loops),    cmocka_unit_test(information_of_counts),
        cmocka_unit_test(chains_are_judged),          cmocka_unit_test(maps_have_the_means),
        cmocka_unit_test(field_near_the_whole),       cmocka_unit_test(loop_near_the_definition),
        cmocka_unit_test(landmarks_by_name_or_place), cmocka_unit_test(landmark_errors),
        cmocka_unit_test(labels_near_plain_loops),    cmocka_unit_test(coverage_near_plain_loops)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
