#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "files.h"

static char root[] = "/tmp/prelu-files-XXXXXX";

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
    (void)st, (void)kind, (void)where;
    return remove(path);
}

static int enter_folder(void **state)
{
    (void)state;
    strcpy(root + strlen(root) - 6, "XXXXXX");
    return mkdtemp(root) ? chdir(root) : -1;
}

static int leave_folder(void **state)
{
    (void)state;
    return chdir("/") == 0 ? nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS) : -1;
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static cli_file_list list_of(const char *a, const char *b)
{
    char *inputs[] = {(char *)a, (char *)b};
    cli_file_list list;
    char why[128];

    assert_true(cli_files_list(&list, inputs, b ? 2 : 1, why, sizeof why));
    return list;
}

static void expect_item(const cli_file_list *list, size_t i, const char *path, const char *code)
{
    assert_true(i < list->count);
    assert_string_equal(list->items[i].path, path);
    if (code) {
        assert_non_null(list->items[i].code);
        assert_string_equal(list->items[i].code, code);
        assert_non_null(list->items[i].error);
    } else {
        assert_null(list->items[i].code);
    }
}

static void arguments_stand_for_themselves(void **state)
{
    cli_file_list list;

    (void)state;
    put("picture.png", "named outright, so it is tried");
    list = list_of("picture.png", "-");
    assert_int_equal(list.count, 2);
    assert_false(list.from_dir);
    expect_item(&list, 0, "picture.png", NULL);
    expect_item(&list, 1, "-", NULL);
    cli_files_deinit(&list);
    assert_null(list.items);
}

static void folders_are_sorted_by_path(void **state)
{
    cli_file_list list;

    (void)state;
    assert_int_equal(mkdir("d", 0700) | mkdir("d/a", 0700) | mkdir("d/a-b", 0700), 0);
    put("d/z.jpg", "");
    put("d/B.JPG", "");
    put("d/a/1.jpeg", "");
    put("d/a-b/1.JPEG", "");
    put("d/.hidden.jpg", "");
    put("d/x.jpg.txt", "");
    put("d/jpg", "");
    list = list_of("d", "d/");
    assert_true(list.from_dir);
    assert_int_equal(list.count, 8);
    expect_item(&list, 0, "d/B.JPG", NULL);
    expect_item(&list, 1, "d/a-b/1.JPEG", NULL); /* '-' is below '/' */
    expect_item(&list, 2, "d/a/1.jpeg", NULL);
    expect_item(&list, 3, "d/z.jpg", NULL);
    expect_item(&list, 4, "d/B.JPG", NULL); /* a folder named twice is searched twice */
    cli_files_deinit(&list);
}

static void loops_end_and_twins_come_once(void **state)
{
    cli_file_list list;

    (void)state;
    assert_int_equal(mkdir("d", 0700) | mkdir("d/in", 0700), 0);
    put("d/in/p.jpg", "");
    assert_int_equal(symlink(".", "d/a-self") | symlink("..", "d/in/up"), 0);
    assert_int_equal(symlink("in", "d/b-twin") | symlink("q.jpg", "d/q.jpg"), 0);
    list = list_of("d", NULL);
    assert_int_equal(list.count, 2);
    expect_item(&list, 0, "d/b-twin/p.jpg", NULL);
    expect_item(&list, 1, "d/q.jpg", "not_readable");
    cli_files_deinit(&list);
}

static void too_deep_is_an_error(void **state)
{
    char path[1024] = "deep";
    cli_file_list list;

    (void)state;
    assert_int_equal(mkdir(path, 0700), 0);
    for (int i = 0; i < CLI_MAX_DEPTH + 1; i++) {
        strcat(path, "/d");
        assert_int_equal(mkdir(path, 0700), 0);
    }
    list = list_of("deep", NULL);
    assert_int_equal(list.count, 1);
    expect_item(&list, 0, path, "too_deep");
    cli_files_deinit(&list);
}

static void missing_and_empty(void **state)
{
    cli_file_list list;

    (void)state;
    assert_int_equal(mkdir("empty", 0700), 0);
    put("empty/readme.txt", "");
    list = list_of("nowhere.jpg", "empty");
    assert_int_equal(list.count, 2);
    expect_item(&list, 0, "nowhere.jpg", "not_found");
    expect_item(&list, 1, "empty", "no_pictures");
    cli_files_deinit(&list);
}

static void reading(void **state)
{
    cli_bytes data;
    char why[128] = "";

    (void)state;
    cli_bytes_init(&data, 5);
    put("five", "12345");
    put("six", "123456");
    put("zero", "");
    assert_null(cli_files_read(&data, "five", why, sizeof why));
    assert_string_equal(cli_bytes_str(&data), "12345");
    assert_string_equal(cli_files_read(&data, "six", why, sizeof why), "too_large");
    assert_string_equal(why, "6 bytes; the limit is 5");
    assert_null(cli_files_read(&data, "zero", why, sizeof why));
    assert_int_equal(data.len, 0);
    assert_string_equal(cli_files_read(&data, "gone", why, sizeof why), "not_found");
    assert_string_equal(cli_files_read(&data, ".", why, sizeof why), "not_readable");
    /* a device tells no length beforehand */
    assert_string_equal(cli_files_read(&data, "/dev/zero", why, sizeof why), "too_large");
    cli_bytes_deinit(&data);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(arguments_stand_for_themselves),
        IN_FOLDER(folders_are_sorted_by_path),
        IN_FOLDER(loops_end_and_twins_come_once),
        IN_FOLDER(too_deep_is_an_error),
        IN_FOLDER(missing_and_empty),
        IN_FOLDER(reading),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
