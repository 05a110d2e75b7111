#ifndef MDL_DATASET_H
#define MDL_DATASET_H
#include "idx.h"
#include "prelu/image.h"
#include "prelu/threads.h"

/** One split of labelled pictures:
 *  - folders: DIR/<split>/<class>/<name>.jpg (or .jpeg, any case); classes = folder names in byte
 * order;
 *  - IDX: DIR/train-images-idx3-ubyte[.gz] and so on; train/t10k are the splits train/val; classes
 *    are "0", "1", ...; gray becomes RGB.
 *  DIR/labels.txt, `<folder> <label>` a line, gives readable labels. Immutable once opened, so
 *  shared by threads. */

#define MDL_DATA_MAX_CLASSES 65536
#define MDL_MAX_PICTURES ((size_t)1 << 31)
#define MDL_MAX_PICTURE_BYTES ((size_t)256 << 20)

typedef struct mdl_picture {
    const char *name; /* file name inside its class folder; NULL for IDX */
    int32_t label;    /* class index */
    uint32_t index;   /* place in the IDX file */
} mdl_picture;

typedef struct mdl_class {
    char *id;    /* folder name */
    char *label; /* from labels.txt, else the folder name */
} mdl_class;

typedef struct mdl_dataset {
    char *dir, *split;
    mdl_class *classes;
    int n_classes;
    mdl_picture *pictures; /* by class, then by name in byte order */
    size_t n_pictures;
    size_t ignored; /* files in class folders that are no .jpg */
    char *names;    /* what the pictures' names point into */
    bool is_idx;
    mdl_idx idx;
} mdl_dataset;

/** @param split "train" or "val".
 *  @param ids   NULL: the classes are the folders of this split; else n_ids folder names, ids[i]
 *               being class i: a folder that is not among them is E_FORMAT.
 *  @return E_NOTFOUND no such folder; E_FORMAT no classes, no pictures, a damaged IDX file, names
 * or labels that are not UTF-8; E_LIMIT; E_IO; E_PERM; E_NOMEM. */
PRELU_MUST_CHECK prelu_status mdl_dataset_open(mdl_dataset **out, const char *dir,
                                               const char *split, const char *const *ids, int n_ids,
                                               prelu_err *err);
/** As mdl_dataset_open with the classes of another split of the same folder. */
PRELU_MUST_CHECK prelu_status mdl_dataset_open_like(mdl_dataset **out, const char *split,
                                                    const mdl_dataset *like, prelu_err *err);
void mdl_dataset_destroy(mdl_dataset **d);

/** Keep only `n` pictures, evenly spaced over all; n >= n_pictures keeps all. */
void mdl_dataset_limit(mdl_dataset *d, size_t n);

/** "train/cat/0001.jpg" or "train[17]"; returns buf. */
const char *mdl_dataset_name(const mdl_dataset *d, size_t i, char *buf, size_t len);

/** The bytes of picture i's file, owned by the caller (prelu_free). Folders only (E_ARG for IDX).
 *  @return E_NOTFOUND, E_PERM, E_IO, E_FORMAT empty or not a regular file, E_LIMIT, E_NOMEM. */
PRELU_MUST_CHECK prelu_status mdl_dataset_bytes(const mdl_dataset *d, size_t i, void **bytes,
                                                size_t *len, prelu_err *err);
/** Picture i decoded to RGB, upright; a JPEG with `draft_side` of prelu_jpeg_decode. Status as
 * prelu_jpeg_decode and mdl_dataset_bytes. */
PRELU_MUST_CHECK prelu_status mdl_dataset_decode(const mdl_dataset *d, size_t i, int draft_side,
                                                 prelu_image *out, prelu_err *err);

/** A file of a later split with the bytes of one of the first split; paths relative to DIR. */
typedef void mdl_shared_fn(void *ctx, const char *first, const char *later);
/** SHA-256 of what `sha256sum` prints for the files of all the given splits, sorted by path
 *  relative to DIR: (cd DIR && find train val -name '*.jpg' | LC_ALL=C sort | xargs sha256sum) |
 *  sha256sum. Files that cannot be read are left out. @param text 65 bytes. @param shared may be
 *  NULL; of folders only. Read in parallel. */
PRELU_MUST_CHECK prelu_status mdl_dataset_digest(const mdl_dataset *const *sets, int n,
                                                 prelu_pool *pool, char *text,
                                                 mdl_shared_fn *shared, void *ctx, prelu_err *err);

/** Of a data set's pixels, 0..255. */
typedef struct mdl_statistics {
    float mean[3], std[3];
    float colour[3][3]; /* principal directions of RGB, each of its standard deviation's length */
} mdl_statistics;

/** Statistics over at most `sample` evenly spaced pictures,
 *  each picture weighted alike; unreadable ones are left out. The same result on any number of
 *  threads. @return E_FORMAT if none is readable; E_NOMEM. */
PRELU_MUST_CHECK prelu_status mdl_dataset_statistics(const mdl_dataset *d, size_t sample,
                                                     prelu_pool *pool, mdl_statistics *out,
                                                     prelu_err *err);
#endif
