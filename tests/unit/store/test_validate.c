#include "support/near.h"
#include "support/temp.h"

#include "collimate/base/file.h"
#include "collimate/store/ome.h"
#include "collimate/store/validate.h"

#include <stdio.h>
#include <string.h>

/* Documents by hand after the specifications. ' stands for ". */
typedef struct document {
    const char *name, *text;
} document;

#define AXES04 "'axes':[{'name':'z','type':'space'},{'name':'y','type':'space'},{'name':'x','type':'space'}]"
#define LEVEL04 "{'path':'0','coordinateTransformations':[{'type':'scale','scale':[1,2,3]}]}"
#define YX "[{'name':'y','type':'space'},{'name':'x','type':'space'}]"
#define SYSTEMS "'coordinateSystems':[{'name':'a','axes':" YX "},{'name':'b','axes':" YX "}]"
#define ENDS "'input':{'path':'0'},'output':{'name':'a'}"
#define LEVEL06 "{'path':'0','coordinateTransformations':[{'type':'scale','scale':[1,1]," ENDS "}]}"
#define V06(rest) "{'ome':{'version':'0.6','multiscales':[{" SYSTEMS ",'datasets':[" LEVEL06 "]" rest "}]}}"
#define MORE06(transform) \
    V06(",'coordinateTransformations':[{'input':{'name':'a'},'output':{'name':'b'}," transform "}]")
#define PLATE(columns, wells) \
    "{'plate':{'version':'0.4','rows':[{'name':'A'}],'columns':[" columns "],'wells':[" wells "]}}"
#define N5(rest) "{'dimensions':[5,4,3],'blockSize':[2,2,2],'compression':{'type':'raw'}" rest "}"
#define Z2(rest)                                                                                                 \
    "{'zarr_format':2,'shape':[4],'chunks':[2],'order':'C','filters':null,'compressor':null,'fill_value':0" rest \
    "}"
#define Z3(rest)                                                                                          \
    "{'zarr_format':3,'node_type':'array','shape':[4],'data_type':'uint8','fill_value':0,'chunk_grid':"   \
    "{'name':'regular','configuration':{'chunk_shape':[2]}},'chunk_key_encoding':{'name':'default'}" rest \
    "}"

/* what drafts of 0.6 wrote, and the readers take */
#define DRAFT(version, transform) \
    "{'ome':{'version':'" version \
    "','scene':{'coordinateTransformations':[{'input':'a','output':'b'," transform "}]}}}"
#define FLAT                                                                                             \
    "'type':'byDimension','transformations':[{'type':'scale','scale':[2],'input':['y'],'output':['x']}," \
    "{'type':'identity','input':['x'],'output':['y']}]"
#define FLAT_NUMBERS \
    "'type':'byDimension','transformations':[{'type':'scale','scale':[2],'input_axes':[0],'output_axes':[1]}]"

static const document good[] = {
    {"0.1", "{'multiscales':[{'version':'0.1','datasets':[{'path':'0'},{'path':'1'}]}]}"},
    {"0.3", "{'multiscales':[{'version':'0.3','axes':['c','y','x'],'datasets':[{'path':'0'}]}]}"},
    {"0.4", "{'multiscales':[{'version':'0.4'," AXES04 ",'datasets':[" LEVEL04 "]}]}"},
    {"0.4 without version", "{'multiscales':[{" AXES04 ",'datasets':[" LEVEL04 "]}]}"},
    {"0.5", "{'ome':{'version':'0.5','multiscales':[{" AXES04 ",'datasets':[" LEVEL04 "]}]}}"},
    {"0.5 group",
     "{'zarr_format':3,'node_type':'group','attributes':{'ome':{'version':'0.5','labels':['a']}}}"},
    {"0.6", V06("")},
    {"0.6 early", "{'ome':{'version':'0.6.dev3','multiscales':[{" SYSTEMS ",'datasets':[{'path':'0',"
                  "'coordinateTransformations':[{'type':'identity','input':'0','output':'a'}]}]}]}}"},
    {"affine", MORE06("'type':'affine','affine':[[1,0,5],[0,1,6]]")},
    {"rotation", MORE06("'type':'rotation','rotation':[[0,1],[-1,0]]")},
    {"swap", MORE06("'type':'mapAxis','mapAxis':[1,0]")},
    {"project", MORE06("'type':'projectAxis','droppedInputs':[0],'createdOutputs':[1]")},
    {"by dimension",
     MORE06("'type':'byDimension','transformations':[{'transformation':{'type':'scale','scale':"
            "[2]},'inputAxes':[0],'outputAxes':[1]}]")},
    {"displacements", MORE06("'type':'displacements','path':'d','interpolation':'linear'")},
    {"plate", PLATE("{'name':'1'}", "{'path':'A/1','rowIndex':0,'columnIndex':0}")},
    {"well", "{'well':{'version':'0.4','images':[{'path':'0'},{'path':'1','acquisition':2}]}}"},
    {"label", "{'image-label':{'version':'0.4','colors':[{'label-value':1,'rgba':[0,1,2,255]}]}}"},
    {"scene",
     "{'ome':{'version':'0.6','scene':{'coordinateTransformations':[{'type':'identity','input':{'path':"
     "'a','name':'p'},'output':{'path':'b','name':'p'}}]}}}"},
    {"draft, flat", DRAFT("0.6.dev3", FLAT)},
    {"draft, flat with numbers", DRAFT("0.6.dev1", FLAT_NUMBERS)},
    {"draft, turned",
     DRAFT("0.6.dev3", "'type':'inverseOf','transformation':{'type':'scale','scale':[2,3]}")},
    {"n5", N5(",'dataType':'uint8'")},
    {"zarr2", Z2(",'dtype':'<u2'")},
    {"zarr3", Z3(",'codecs':[{'name':'bytes'}]")},
};

static const document bad[] = {
    {"no JSON", "{'multiscales':"},
    {"nothing known", "{'a':1}"},
    {"version", "{'ome':{'version':'0.4','multiscales':[{" AXES04 ",'datasets':[" LEVEL04 "]}]}}"},
    {"no version", "{'ome':{'multiscales':[{" AXES04 ",'datasets':[" LEVEL04 "]}]}}"},
    {"empty", "{'multiscales':[]}"},
    {"0.3 axis", "{'multiscales':[{'version':'0.3','axes':['q','y'],'datasets':[{'path':'0'}]}]}"},
    {"no datasets", "{'multiscales':[{" AXES04 ",'datasets':[]}]}"},
    {"no axes", "{'multiscales':[{'version':'0.4','datasets':[" LEVEL04 "]}]}"},
    {"one space axis",
     "{'multiscales':[{'axes':[{'name':'t','type':'time'},{'name':'x','type':'space'}],"
     "'datasets':[{'path':'0','coordinateTransformations':[{'type':'scale','scale':[1,2]}]}]}]}"},
    {"twice an axis",
     "{'multiscales':[{'axes':[{'name':'x','type':'space'},{'name':'x','type':'space'}],"
     "'datasets':[{'path':'0','coordinateTransformations':[{'type':'scale','scale':[1,2]}]}]}]}"},
    {"order of axes", "{'multiscales':[{'axes':[{'name':'y','type':'space'},{'name':'c','type':'channel'},"
                      "{'name':'x','type':'space'}],'datasets':[" LEVEL04 "]}]}"},
    {"short scale",
     "{'multiscales':[{" AXES04 ",'datasets':[{'path':'0','coordinateTransformations':[{'type':"
     "'scale','scale':[1,2]}]}]}]}"},
    {"two scales", "{'multiscales':[{" AXES04 ",'datasets':[{'path':'0','coordinateTransformations':[{'type':"
                   "'scale','scale':[1,2,3]},{'type':'scale','scale':[1,2,3]}]}]}]}"},
    {"path away", "{'multiscales':[{'version':'0.1','datasets':[{'path':'../0'}]}]}"},
    {"no systems", "{'ome':{'version':'0.6','multiscales':[{'datasets':[" LEVEL06 "]}]}}"},
    {"ends are texts", "{'ome':{'version':'0.6','multiscales':[{" SYSTEMS ",'datasets':[{'path':'0',"
                       "'coordinateTransformations':[{'type':'identity','input':'0','output':'a'}]}]}]}}"},
    {"affine of 3", MORE06("'type':'affine','affine':[[1,0,0,5],[0,1,0,6]]")},
    {"map beyond", MORE06("'type':'mapAxis','mapAxis':[0,2]")},
    {"map twice", MORE06("'type':'mapAxis','mapAxis':[0,0]")},
    {"project to 3", MORE06("'type':'projectAxis','createdOutputs':[0]")},
    {"project none", MORE06("'type':'projectAxis'")},
    {"unknown", MORE06("'type':'warp'")},
    {"half a bijection", MORE06("'type':'bijection','forward':{'type':'identity'}")},
    {"scene of texts",
     "{'ome':{'version':'0.6','scene':{'coordinateTransformations':[{'type':'identity','input':"
     "'a','output':'b'}]}}}"},
    {"turned in 0.6", MORE06("'type':'inverseOf','transformation':{'type':'scale','scale':[2,3]}")},
    {"draft, turned nothing", DRAFT("0.6.dev3", "'type':'inverseOf'")},
    {"flat in 0.6", MORE06(FLAT_NUMBERS)},
    {"draft of texts in 0.6", DRAFT("0.6", "'type':'identity'")},
    {"draft, axes missing",
     DRAFT("0.6.dev3", "'type':'byDimension','transformations':[{'type':'scale','scale':[2]}]")},
    {"draft, scale of two",
     DRAFT("0.6.dev3", "'type':'byDimension','transformations':[{'type':'scale','scale':[2,2],'input':['y'],"
                       "'output':['x']}]")},
    {"plate name", PLATE("{'name':'A-1'}", "{'path':'A/A-1','rowIndex':0,'columnIndex':0}")},
    {"plate twice", PLATE("{'name':'1'},{'name':'1'}", "{'path':'A/1','rowIndex':0,'columnIndex':0}")},
    {"well index", PLATE("{'name':'1'}", "{'path':'A/1','rowIndex':1,'columnIndex':0}")},
    {"well path", PLATE("{'name':'1'}", "{'path':'A/1/0','rowIndex':0,'columnIndex':0}")},
    {"no images", "{'well':{'images':[]}}"},
    {"colour", "{'image-label':{'colors':[{'label-value':1,'rgba':[0,1,2,256]}]}}"},
    {"window", "{'ome':{'version':'0.6','omero':{'channels':[{'window':{'min':0,'max':1}}]}}}"},
    {"n5 type", N5(",'dataType':'uint9'")},
    {"n5 blocks", "{'dimensions':[5,4,3],'blockSize':[2,2],'dataType':'uint8','compression':{'type':'raw'}}"},
    {"zarr2 order", "{'zarr_format':2,'shape':[4],'chunks':[2],'order':'K','filters':null,'compressor':null,"
                    "'fill_value':0,'dtype':'<u2'}"},
    {"zarr3 codecs", Z3(",'codecs':[]")},
    {"zarr3 node", "{'zarr_format':3,'node_type':'thing'}"},
};

static bool validate(const char *path, clm_buf *found, clm_err *err) {
    clm_validate_options o = {.chunks = true};
    found->n = 0;
    return clm_validate(path, &o, found, err);
}

static void documents(void **state) {
    (void)state;
    clm_buf found = {0};
    for (size_t i = 0; i < sizeof good / sizeof good[0] + sizeof bad / sizeof bad[0]; i++) {
        bool want = i < sizeof good / sizeof good[0];
        const document *d = want ? &good[i] : &bad[i - sizeof good / sizeof good[0]];
        char text[2000];
        clm_err err = CLM_ERR_NONE;
        (void)snprintf(text, sizeof text, "%s", d->text);
        for (char *p = text; *p; p++)
            if (*p == '\'') *p = '"';
        bool got = validate(text, &found, &err);
        if (got != want) fail_msg("%s: %s", d->name, got ? "found valid" : err.text);
        assert_true(got || err.code == CLM_E_FORMAT || err.code == CLM_E_UNSUPPORTED);
    }
    clm_buf_free(&found);
}

/* What we write is valid in all its formats; a level that is missing or misnamed is found, and so is a torn
 * chunk when chunks are asked for. */
static void hierarchies(void **state) {
    (void)state;
    static const char *const roots[] = {"a.zarr", "b.zarr", "c.n5"};
    static const clm_format formats[] = {CLM_FORMAT_ZARR3, CLM_FORMAT_ZARR2, CLM_FORMAT_N5};
    static const char *const torn[] = {"s1/c/0/0/0", "s1/0/0/0", "s1/0/0/0"};
    char folder[CLM_PATH_MAX], root[CLM_PATH_MAX], path[CLM_PATH_MAX];
    clm_err err = CLM_ERR_NONE;
    clm_buf found = {0};
    clm_test_folder(folder);
    for (int f = 0; f < 3; f++) {
        clm_level_spec levels[2] = {{"s0", {1, 1, 1}, {0, 0, 0}}, {"s1", {2, 2, 2}, {0.5, 0.5, 0.5}}};
        uint16_t voxels[64];
        for (int i = 0; i < 64; i++) voxels[i] = (uint16_t)(i * 7 + 1);
        assert_ok(clm_path_join(root, folder, roots[f], &err), err);
        for (int k = 0; k < 2; k++) {
            clm_array_spec spec = {
                .format = formats[f], .ndim = 3, .dtype = CLM_U16, .axes = {"z", "y", "x"}};
            for (int d = 0; d < 3; d++) spec.shape[d] = spec.chunk[d] = k ? 2 : 4;
            clm_array *a = NULL;
            assert_ok(clm_path_join(path, root, levels[k].path, &err), err);
            assert_ok(clm_array_create(path, &spec, &a, &err), err);
            assert_ok(clm_array_put_chunk(a, (int64_t[]){0, 0, 0}, voxels, &err), err);
            clm_array_close(a);
        }
        assert_ok(
            clm_ome_write_pyramid(
                root, &(clm_pyramid_spec){.format = formats[f], .name = "x", .levels = levels, .n = 2}, &err),
            err);
        assert_ok(validate(root, &found, &err), err);
        assert_non_null(strstr((char *)found.data, "2 arrays"));
        assert_ok(clm_path_join(path, root, torn[f], &err), err);
        assert_ok(clm_file_publish(path, "", 0, false, &err), err);
        assert_fails(CLM_E_FORMAT, validate(root, &found, &err), err);
        if (formats[f] == CLM_FORMAT_N5) continue;
        assert_ok(clm_path_join(path, root, "s1", &err), err);
        assert_ok(clm_folder_remove(path, &err), err);
        assert_fails(CLM_E_FORMAT, validate(root, &found, &err), err);
        assert_non_null(strstr(err.text, "s1"));
    }
    clm_buf_free(&found);
    clm_test_folder_drop(folder);
}

static void not_there(void **state) {
    (void)state;
    clm_err err = CLM_ERR_NONE;
    clm_buf found = {0};
    assert_fails(CLM_E_NOTFOUND, validate("/nowhere/at/all", &found, &err), err);
    clm_buf_free(&found);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(documents), cmocka_unit_test(hierarchies),
                                       cmocka_unit_test(not_there)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
