//! `#[scalar]` and `#[flat_map]`.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Error, FnArg, GenericArgument, Ident, ItemFn, PathArguments, Result, ReturnType, Type};

use crate::options::{Options, Param, anonymous, check, docs};

pub(crate) fn scalar(options: Options, item: ItemFn) -> Result<TokenStream> {
    check(&item.sig)?;
    let ReturnType::Type(_, returned) = &item.sig.output else {
        let message = "a scalar function returns a value; for a function that only emits rows, use `flat_map`";
        return Err(Error::new(item.sig.ident.span(), message));
    };
    let returned = anonymous(returned)?;
    let params = item
        .sig
        .inputs
        .iter()
        .enumerate()
        .map(|(i, argument)| Param::new(i, argument));
    let params = params.collect::<Result<Vec<_>>>()?;
    let ident = &item.sig.ident;
    let (reads, values) = (params.iter().map(Param::read), params.iter().map(Param::get));
    let validity = params.iter().map(Param::validity);
    let (blocks, block_values) = (params.iter().map(Param::block), params.iter().map(Param::of));
    let (docs, volatility) = (docs(&item.attrs), options.volatility());
    // Located at the type, so that a type that is no column is shown where it is written.
    let describe = quote_spanned!(returned.span()=> ::weir_guest::__private::describe_scalar::<#returned>);
    let describe = quote!(#describe(Self::NAME, #docs, #volatility, params));
    let call = quote! {
        ::weir_guest::__private::Scalar(|__batch: &::weir_guest::__private::Batch| {
            let mut __cursor = ::weir_guest::__private::Cursor::new(__batch);
            #(#reads)*
            let __validity = [#(#validity),*];
            ::core::result::Result::Ok(::weir_guest::__private::evaluate(
                __batch.rows as usize,
                &__validity,
                |__row| #ident(#(#values),*),
                |__start| {
                    #(#blocks)*
                    move |__i| #ident(#(#block_values),*)
                },
            ))
        })
    };
    Ok(function(&options, &item, &params, describe, call))
}

pub(crate) fn flat_map(options: Options, item: ItemFn) -> Result<TokenStream> {
    check(&item.sig)?;
    let mut params = Vec::new();
    let mut outputs: Vec<Output> = Vec::new();
    for (position, argument) in item.sig.inputs.iter().enumerate() {
        match Output::new(position, argument)? {
            Some(output) => outputs.push(output),
            None if outputs.is_empty() => params.push(Param::new(position, argument)?),
            None => return Err(Error::new(argument.span(), "columns come before outputs")),
        }
    }
    let Some(main) = outputs.first_mut() else {
        let message = "a flat-map function needs an output as its last argument: `out: &mut Emitter<Word>`, where `Word` \
                       is a struct that derives `Row`";
        return Err(Error::new(item.sig.ident.span(), message));
    };
    main.name = "main".to_owned();
    let ident = &item.sig.ident;
    let (reads, values) = (params.iter().map(Param::read), params.iter().map(Param::get));
    let validity = params.iter().map(Param::validity);
    let (docs, volatility) = (docs(&item.attrs), options.volatility());
    let emitters: Vec<&Ident> = outputs.iter().map(|output| &output.emitter).collect();
    let marks: Vec<Ident> = emitters.iter().map(|emitter| format_ident!("{emitter}_mark")).collect();
    let rows: Vec<&Type> = outputs.iter().map(|output| &output.row).collect();
    let positions = 0u32..;
    let describe = outputs.iter().map(|output| {
        let (name, row) = (&output.name, &output.row);
        quote_spanned!(row.span()=> ::weir_guest::__private::output::<#row>(#name))
    });
    let describe = quote! {
        ::weir_guest::__private::describe_flat_map(
            Self::NAME, #docs, #volatility, params, ::std::vec![#(#describe),*]
        )
    };
    let call = quote! {
        ::weir_guest::__private::FlatMap(|__batch: &::weir_guest::__private::Batch| {
            let mut __cursor = ::weir_guest::__private::Cursor::new(__batch);
            #(#reads)*
            let __validity = [#(#validity),*];
            #(let mut #emitters = ::weir_guest::Emitter::<#rows>::default();)*
            let mut __errors = ::std::vec::Vec::new();
            ::weir_guest::__private::for_each_row(__batch.rows as usize, &__validity, |__row| {
                #(let #marks = #emitters.len();)*
                let __outcome = #ident(#(#values,)* #(&mut #emitters),*);
                if let ::core::option::Option::Some(__error) =
                    ::weir_guest::__private::Outcome::refused(__outcome, __row)
                {
                    #(#emitters.__truncate(#marks);)*
                    __errors.push(__error);
                }
            });
            let mut __outputs = ::std::vec::Vec::new();
            #(#emitters.__finish(#positions, &mut __outputs);)*
            ::core::result::Result::Ok(::weir_guest::__private::Mapped { outputs: __outputs, errors: __errors })
        })
    };
    Ok(function(&options, &item, &params, describe, call))
}

/// The item, and a type of the same name that stands for it: functions and types do not share names.
///
/// Variables of generated code start with `__`, here and in [`Param`], so that none hides a function of the author.
fn function(
    options: &Options,
    item: &ItemFn,
    params: &[Param],
    describe: TokenStream,
    call: TokenStream,
) -> TokenStream {
    let (ident, visibility) = (&item.sig.ident, &item.vis);
    let name = options
        .name
        .as_ref()
        .map_or_else(|| ident.unraw().to_string(), |name| name.value());
    let declares = params.iter().map(Param::declare);
    quote! {
        #item

        #[doc(hidden)]
        #[allow(non_camel_case_types, missing_docs)]
        #visibility struct #ident {}

        #[allow(unused_mut, unused_variables)]
        impl ::weir_guest::__private::Function for #ident {
            const NAME: &'static str = #name;

            fn describe() -> ::weir_guest::__private::Description {
                let mut params = ::std::vec::Vec::new();
                #(#declares)*
                #describe
            }

            fn open() -> ::std::boxed::Box<dyn ::weir_guest::__private::Instance> {
                ::std::boxed::Box::new(#call)
            }
        }
    }
}

/// An argument that is an output.
struct Output {
    name: String,
    row: Type,
    emitter: Ident,
}

impl Output {
    /// The output, if the type is `&mut Emitter<_>`.
    fn new(position: usize, argument: &FnArg) -> Result<Option<Self>> {
        let FnArg::Typed(typed) = argument else { return Ok(None) };
        let Type::Reference(reference) = &*typed.ty else {
            return Ok(None);
        };
        let Type::Path(path) = &*reference.elem else {
            return Ok(None);
        };
        let Some(segment) = path.path.segments.last().filter(|segment| segment.ident == "Emitter") else {
            return Ok(None);
        };
        if reference.mutability.is_none() {
            return Err(Error::new(
                reference.span(),
                "an output is `&mut`: `out: &mut Emitter<Word>`",
            ));
        }
        let row = match &segment.arguments {
            PathArguments::AngleBracketed(arguments) => arguments.args.iter().find_map(|argument| match argument {
                GenericArgument::Type(row) => Some(row),
                _ => None,
            }),
            _ => None,
        };
        let Some(row) = row else {
            return Err(Error::new(
                segment.span(),
                "an output says what its rows are: `&mut Emitter<Word>`",
            ));
        };
        Ok(Some(Self {
            name: Param::new(position, argument)?.name,
            row: anonymous(row)?,
            emitter: format_ident!("__output_{position}"),
        }))
    }
}
